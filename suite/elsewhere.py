"""A run beside others, for tests and measurements: in a folder of its own, its services on any free ports.

python -m suite.elsewhere FOLDER PAGE_PORT WATCH_PORT [OPTION ...]
"""

import sys
from pathlib import Path

from suite.run import main
from suite.setting import Setting
from suite.table import ANY_PORT, SAMPLES

if __name__ == "__main__":
    folder, page_port, watch_port, *options = sys.argv[1:]
    setting = Setting(
        [sample.anywhere() for sample in SAMPLES],
        Path(folder),
        couchdb_port=ANY_PORT,
        page_port=int(page_port),
        watch_port=int(watch_port),
    )
    sys.exit(main(options, setting))
