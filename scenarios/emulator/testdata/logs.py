"""CloudWatch Logs with boto3: argv is the endpoint of an emulator with 30 requests in the log group access."""
import json
import sys

import boto3
from botocore.config import Config

logs = boto3.client("logs", endpoint_url=sys.argv[1], region_name="eu-central-1", config=Config(retries={"max_attempts": 1}))

logs.create_log_group(logGroupName="made")
try:
    logs.create_log_group(logGroupName="made")
    raise AssertionError("created twice")
except logs.exceptions.ResourceAlreadyExistsException:
    pass
names = [g["logGroupName"] for page in logs.get_paginator("describe_log_groups").paginate(PaginationConfig={"PageSize": 1}) for g in page["logGroups"]]
assert names == ["access", "made"], names
pages = list(logs.get_paginator("filter_log_events").paginate(logGroupName="access", PaginationConfig={"PageSize": 7}))
events = [e for page in pages for e in page["events"]]
assert len(events) == 30 and len(pages) == 5, (len(events), len(pages))
assert len({e["eventId"] for e in events}) == 30
assert all(json.loads(e["message"])["status"] == "200" for e in events), events[0]
streams = logs.describe_log_streams(logGroupName="access")["logStreams"]
assert {s["logStreamName"] for s in streams} == {e["logStreamName"] for e in events}
some = logs.get_log_events(logGroupName="access", logStreamName=streams[0]["logStreamName"], startFromHead=True)["events"]
assert some == [{k: e[k] for k in ("timestamp", "message", "ingestionTime")} for e in events if e["logStreamName"] == streams[0]["logStreamName"]]
logs.delete_log_group(logGroupName="made")
try:
    logs.filter_log_events(logGroupName="made")
    raise AssertionError("read what was deleted")
except logs.exceptions.ResourceNotFoundException as e:
    assert e.response["Error"]["Message"] == "The specified log group does not exist.", e
print("ok")
