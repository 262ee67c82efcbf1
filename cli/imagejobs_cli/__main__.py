"""`python -m imagejobs_cli`: the same as `imagejobs`."""

from imagejobs_cli.main import main

if __name__ == "__main__":
    main()
