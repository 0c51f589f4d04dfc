"""CloudWatch Logs, CloudWatch, CodeDeploy and IAM with boto3: argv is the endpoint of an emulator that TestServicesBoto3 prepared."""
import datetime
import json
import sys

import boto3
from botocore.config import Config



def client(name):
    return boto3.client(name, endpoint_url=sys.argv[1], region_name="eu-central-1", config=Config(retries={"max_attempts": 1}))


logs = client("logs")

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

now = datetime.datetime.now(datetime.timezone.utc)
metric = {"Namespace": "AWS/ApiGateway", "MetricName": "Count", "Dimensions": [{"Name": "ApiName", "Value": "products"}]}
got = client("cloudwatch").get_metric_data(
    StartTime=now - datetime.timedelta(minutes=10), EndTime=now + datetime.timedelta(minutes=1),
    MetricDataQueries=[{"Id": "m", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}}])["MetricDataResults"][0]
assert sum(got["Values"]) == 30 and got["Timestamps"][0] > now - datetime.timedelta(minutes=2), got

deploys = client("codedeploy")
(deployment,) = deploys.list_deployments(includeOnlyStatuses=["InProgress"])["deployments"]
(target,) = deploys.batch_get_deployment_targets(deploymentId=deployment, targetIds=["getProducts"])["deploymentTargets"]
info = target["lambdaTarget"]["lambdaFunctionInfo"]
assert (info["functionAlias"], info["currentVersion"], info["targetVersion"]) == ("prod", "1", "3"), info

iam = client("iam")
arn = client("sts").get_caller_identity()["Arn"]
results = iam.simulate_principal_policy(PolicySourceArn=arn, ActionNames=["lambda:UpdateAlias", "lambda:GetAlias"])["EvaluationResults"]
assert [r["EvalDecision"] for r in results] == ["explicitDeny", "allowed"], results
try:
    iam.simulate_principal_policy(PolicySourceArn="arn:aws:iam::000000000000:role/nobody", ActionNames=["lambda:GetAlias"])
    raise AssertionError("simulated nobody")
except iam.exceptions.NoSuchEntityException:
    pass
print("ok")
