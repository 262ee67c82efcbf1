"""Who reaches what: compress and report shops and the database, send_webhook receivers, the others the database."""

import pytest

from tests.template.conftest import EXTRAS
from tests.template.expansion import Stack, expand, logical_id
from tests.template.test_functions import STEPS, WITHOUT_DATABASE

EVERYWHERE = "0.0.0.0/0"


@pytest.fixture(scope="module")
def network(expanded_with_defaults) -> Stack:
    """The network of a stack for which nothing was chosen."""
    return expanded_with_defaults.nested("Network")


@pytest.fixture(scope="module")
def database(expanded_with_defaults) -> Stack:
    """The database of a stack for which nothing was chosen."""
    return expanded_with_defaults.nested("Database")


def routes_out(network: Stack, subnet: str) -> list[str]:
    """What leads from a subnet to any address."""
    associations = network.of_type("AWS::EC2::SubnetRouteTableAssociation").values()
    (table,) = [a["RouteTableId"] for a in associations if a["SubnetId"] == f"${{{subnet}}}"]
    return [
        logical_id(route.get("NatGatewayId") or route["GatewayId"])
        for route in network.of_type("AWS::EC2::Route").values()
        if route["RouteTableId"] == table and route["DestinationCidrBlock"] == EVERYWHERE
    ]


def networks(stack: Stack) -> dict[str, str]:
    """The kind of subnet that each function within a network is in."""
    configs = {step: function["VpcConfig"] for step, function in stack.functions().items() if "VpcConfig" in function}
    kinds = {step: config["SubnetIds"][0].removeprefix("${Network.Outputs.") for step, config in configs.items()}
    for step, config in configs.items():
        kind = kinds[step].removesuffix("SubnetIds}")
        assert config["SecurityGroupIds"] == [f"${{Network.Outputs.{kind}SecurityGroupId}}"]
    return {step: kind.removesuffix("SubnetIds}") for step, kind in kinds.items()}


@pytest.mark.parametrize("deployment", ["defaults", "extras"])
def test_each_function_is_where_it_reaches_no_more_than_it_needs(request, deployment):
    inside = networks(request.getfixturevalue(f"expanded_with_{deployment}"))

    shoppers = {"compress", "report"}
    isolated = set(STEPS) - WITHOUT_DATABASE - shoppers
    assert inside == dict.fromkeys(shoppers, "Connected") | dict.fromkeys(isolated, "Isolated")


def test_functions_with_an_existing_database_are_in_its_network(expanded_with_options):
    configs = {step: f["VpcConfig"] for step, f in expanded_with_options.functions().items() if "VpcConfig" in f}

    assert configs.keys() == set(STEPS) - WITHOUT_DATABASE
    given = {"SubnetIds": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-1"]}
    assert all(config == given for config in configs.values())
    assert "Network" not in expanded_with_options.resources


def test_functions_with_a_public_database_are_in_no_network():
    stack = expand(
        {"DatabaseHost": "db.example.com", "DatabaseSecretArn": "arn:aws:secretsmanager:eu-west-1:1:secret:x"}
    )

    assert [step for step, function in stack.functions().items() if "VpcConfig" in function] == []


def test_no_way_leads_from_the_isolated_subnets_to_the_internet(network):
    assert [routes_out(network, f"IsolatedSubnet{zone}") for zone in "AB"] == [[], []]


def test_without_interface_endpoints_aws_is_reached_through_the_nat(expanded_with_extras):
    network = expanded_with_extras.nested("Network")

    assert [routes_out(network, f"IsolatedSubnet{zone}") for zone in "AB"] == [["NatA"], ["NatA"]]


@pytest.mark.parametrize(("extras", "nats"), [({}, ["NatA", "NatA"]), (EXTRAS, ["NatA", "NatB"])])
def test_connected_subnets_go_through_a_nat(extras, nats):
    network = expand(extras).nested("Network")

    assert [routes_out(network, f"ConnectedSubnet{zone}") for zone in "AB"] == [[nat] for nat in nats]
    assert sorted(set(nats)) == sorted(network.of_type("AWS::EC2::NatGateway"))


def test_only_nats_are_in_the_public_subnets(network):
    """Nothing else is given one of them, and the templates' outputs do not name them."""
    assert [routes_out(network, f"PublicSubnet{zone}") for zone in "AB"] == [["InternetGateway"]] * 2
    assert not [name for name, value in network.outputs.items() if "PublicSubnet" in str(value)]


def test_interface_endpoints_are_those_of_the_services_that_isolated_functions_call(network, expanded_with_defaults):
    """By what their roles may do; S3 has the gateway endpoint, and tokens of rds-db are made without a call."""
    services = {service_of(e) for e in network.of_type("AWS::EC2::VPCEndpoint").values() if "SubnetIds" in e}
    statements = [
        statement
        for role in expanded_with_defaults.of_type("AWS::IAM::Role").values()
        for policy in role.get("Policies", [])
        for statement in policy["PolicyDocument"]["Statement"]
    ]
    actions = [a for s in statements for a in (s["Action"] if isinstance(s["Action"], list) else [s["Action"]])]
    called = {action.partition(":")[0] for action in actions} - {"s3", "rds-db", "logs", "lambda"}

    assert services == called


def service_of(endpoint) -> str:
    return str(endpoint["ServiceName"].rpartition(".")[2])


def test_s3_has_a_gateway_endpoint_in_every_private_route_table(network):
    gateways = [e for e in network.of_type("AWS::EC2::VPCEndpoint").values() if e["VpcEndpointType"] == "Gateway"]
    tables = [table for gateway in gateways for table in gateway["RouteTableIds"]]

    assert {service_of(gateway) for gateway in gateways} == {"s3"}
    assert sorted(tables) == sorted(
        f"${{{name}}}" for name in network.of_type("AWS::EC2::RouteTable") if name != "PublicRoutes"
    )


def test_isolated_functions_write_into_buckets_of_this_account_only_and_answer_cloudformation(network):
    endpoint = network.of_type("AWS::EC2::VPCEndpoint")["S3FromIsolated"]
    own, answers = endpoint["PolicyDocument"]["Statement"]

    assert own["Condition"] == {"StringEquals": {"aws:ResourceAccount": "123456789012"}}
    assert (answers["Action"], answers["Resource"]) == (
        "s3:PutObject",
        "arn:aws:s3:::cloudformation-custom-resource-response-*/*",
    )


def test_compress_only_reads_from_buckets_of_others(network):
    own, shops = network.of_type("AWS::EC2::VPCEndpoint")["S3FromConnected"]["PolicyDocument"]["Statement"]

    assert own["Condition"] == {"StringEquals": {"aws:ResourceAccount": "123456789012"}}
    assert shops["Action"] == ["s3:GetObject", "s3:GetObjectVersion"]


def test_only_compress_may_speak_to_any_address_but_on_the_ports_of_shops(network):
    groups = network.of_type("AWS::EC2::SecurityGroup")
    ports = {
        name: sorted(rule["FromPort"] for rule in group["SecurityGroupEgress"] if rule["CidrIp"] == EVERYWHERE)
        for name, group in groups.items()
    }

    assert ports == {"ConnectedSecurityGroup": [80, 443], "IsolatedSecurityGroup": [443], "EndpointSecurityGroup": []}


def test_subnets_lie_apart_and_in_two_zones(network):
    subnets = network.of_type("AWS::EC2::Subnet")

    assert len({subnet["CidrBlock"] for subnet in subnets.values()}) == len(subnets) == 6
    assert {name[-1]: subnet["AvailabilityZone"] for name, subnet in subnets.items()} == {"A": "zone-a", "B": "zone-b"}


# ── The database ────────────────────────────────────────────────────────────────────────────────────────────────────


def server(database):
    return database.the("AWS::RDS::DBInstance")


def test_the_database_is_encrypted_and_takes_tls_only(database):
    assert server(database)["StorageEncrypted"] is True
    assert database.the("AWS::RDS::DBParameterGroup")["Parameters"]["rds.force_ssl"] == "1"


def test_the_database_is_reached_from_the_functions_alone(database):
    group = database.the("AWS::EC2::SecurityGroup")
    sources = [rule["SourceSecurityGroupId"] for rule in group["SecurityGroupIngress"]]

    assert server(database)["PubliclyAccessible"] is False
    assert server(database)["VPCSecurityGroups"] == ["${SecurityGroup}"]
    assert sources == ["${Network.Outputs.ConnectedSecurityGroupId}", "${Network.Outputs.IsolatedSecurityGroupId}"]


def test_the_database_keeps_its_password_itself(database):
    assert server(database)["ManageMasterUserPassword"] is True
    assert "MasterUserPassword" not in server(database)


def test_the_data_outlives_the_stack(database):
    resource = database.resources["Database"]

    assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("Snapshot", "Snapshot")
    assert resource["Properties"]["DeletionProtection"] == "true"
    assert resource["Properties"]["BackupRetentionPeriod"] >= 14


def test_the_database_logs_no_statement(database):
    """They name URLs, and some URLs are signed."""
    parameters = database.the("AWS::RDS::DBParameterGroup")["Parameters"]

    assert (parameters["log_min_duration_statement"], parameters["log_min_error_statement"]) == ("-1", "panic")


def test_the_proxy_wants_tls_and_iam(expanded_with_extras):
    proxy = expanded_with_extras.nested("Database").the("AWS::RDS::DBProxy")

    assert proxy["RequireTLS"] is True
    assert [auth["IAMAuth"] for auth in proxy["Auth"]] == ["REQUIRED"]


def test_the_user_that_may_sign_in_at_the_proxy_is_the_one_in_the_connection_string(expanded_with_extras):
    outputs = expanded_with_extras.nested("Database").outputs

    assert outputs["ProxyUserArn"].endswith(f"/{outputs['User']}")


def test_what_loads_much_at_once_goes_around_the_proxy(expanded_with_extras):
    dsns = {
        step: function["Environment"]["Variables"]["DATABASE_DSN"]
        for step, function in expanded_with_extras.functions().items()
        if step not in WITHOUT_DATABASE
    }

    assert {step for step, dsn in dsns.items() if "Outputs.Host}" in dsn} == {"fan_out", "migrate"}
    assert {step for step, dsn in dsns.items() if "user=${Database.Outputs.User}" in dsn} == dsns.keys() - {
        "fan_out",
        "migrate",
    }
