"""The whole service on one machine: the real template on ministack and an embedded Postgres.

Nothing outside this package knows that it exists. It deploys `template.yaml` as it is, but for parameters and
for `Runtime`: the functions run in this virtual environment, through AWS's own Lambda runtime client.
"""
