"""The AWS CLI without a new interpreter for each command: reads argument lists, answers what was printed, one JSON a line."""
import contextlib
import io
import json
import sys

from awscli.clidriver import create_clidriver

for line in sys.stdin:
    out, trouble = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(trouble):
        try:
            status = create_clidriver().main(json.loads(line))
        except SystemExit as e:
            status = e.code or 0
    texts = []
    for stream in (out, trouble):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode())
    print(json.dumps({"out": texts[0], "trouble": texts[1], "status": status}), flush=True)
