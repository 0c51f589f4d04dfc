"""The walkthrough with boto3: argv is the endpoint. Prints the API's id; any surprise ends it with a traceback."""
import io
import json
import sys
import urllib.error
import urllib.request
import zipfile

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

endpoint = sys.argv[1]
config = Config(retries={"max_attempts": 1}, parameter_validation=True)


def client(name):
    return boto3.client(name, endpoint_url=endpoint, region_name="eu-central-1", config=config)


apigateway, functions, sts = client("apigateway"), client("lambda"), client("sts")


def zipped(text):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        z.writestr("bootstrap", text)
    return out.getvalue()


def same(got, want):
    assert got == want, f"got {got!r}, want {want!r}"


def refused(code, message, call, **arguments):
    try:
        call(**arguments)
    except ClientError as e:
        same(e.response["Error"]["Code"], code)
        assert message in e.response["Error"]["Message"], e.response["Error"]["Message"]
        return
    raise AssertionError(f"{call.__name__} was not refused")


def get(stage, path="/products"):
    url = f"{endpoint}/restapis/{api}/{stage}/_user_request_{path}"
    try:
        with urllib.request.urlopen(url) as r:
            return r.status, r.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()


def only(stage, version):
    for _ in range(10):
        status, body = get(stage)
        same(status, 200)
        assert json.loads(body)["message"].endswith(f"all products v{version}"), body


same(sts.get_caller_identity()["Account"], "000000000000")

name = "getProducts"
made = functions.create_function(
    FunctionName=name, Runtime="provided.al2023", Handler="bootstrap", Tags={"made-by": "boto3"},
    Role="arn:aws:iam::000000000000:role/getProducts", Code={"ZipFile": zipped("v0")})
same(made["State"], "Pending")
functions.get_waiter("function_active_v2").wait(FunctionName=name)
for number, alias in enumerate(["prod", "staging", "dev"], 1):
    functions.update_function_code(FunctionName=name, ZipFile=zipped(f"v{number}"))
    functions.get_waiter("function_updated_v2").wait(FunctionName=name)
    same(functions.publish_version(FunctionName=name)["Version"], str(number))
    functions.create_alias(FunctionName=name, Name=alias, FunctionVersion=str(number))
same(functions.publish_version(FunctionName=name)["Version"], "3")
same([v["Version"] for v in functions.get_paginator("list_versions_by_function").paginate(
    FunctionName=name, PaginationConfig={"PageSize": 2}).build_full_result()["Versions"]], ["$LATEST", "1", "2", "3"])
same([a["Name"] for a in functions.list_aliases(FunctionName=name)["Aliases"]], ["dev", "prod", "staging"])
same(functions.get_function(FunctionName=name)["Tags"], {"made-by": "boto3"})
refused("ResourceNotFoundException", "Cannot find alias arn: ", functions.get_alias, FunctionName=name, Name="none")

api = apigateway.create_rest_api(name="products", tags={"made-by": "boto3"}, endpointConfiguration={"types": ["REGIONAL"]})["id"]
same(apigateway.get_rest_api(restApiId=api)["tags"], {"made-by": "boto3"})
same(apigateway.get_tags(resourceArn=f"arn:aws:apigateway:eu-central-1::/restapis/{api}")["tags"], {"made-by": "boto3"})
root = apigateway.get_resources(restApiId=api)["items"][0]["id"]
resource = apigateway.create_resource(restApiId=api, parentId=root, pathPart="products")["id"]
apigateway.put_method(restApiId=api, resourceId=resource, httpMethod="GET", authorizationType="NONE")
refused("NotFoundException", "No integration defined for method", apigateway.create_deployment, restApiId=api)
arn = functions.get_function(FunctionName=name)["Configuration"]["FunctionArn"]
apigateway.put_integration(
    restApiId=api, resourceId=resource, httpMethod="GET", type="AWS_PROXY", integrationHttpMethod="POST",
    uri="arn:aws:apigateway:eu-central-1:lambda:path/2015-03-31/functions/" + arn + ":${stageVariables.lambdaAlias}/invocations")
for alias in ["prod", "staging", "dev"]:
    functions.add_permission(
        FunctionName=name, Qualifier=alias, StatementId="gateway", Action="lambda:InvokeFunction",
        Principal="apigateway.amazonaws.com", SourceArn=f"arn:aws:execute-api:eu-central-1:000000000000:{api}/*/GET/products")
first = apigateway.create_deployment(restApiId=api)["id"]
for stage in ["prod", "staging", "dev"]:
    apigateway.create_stage(restApiId=api, stageName=stage, deploymentId=first, variables={"lambdaAlias": stage})
only("prod", 1), only("staging", 2), only("dev", 3)
same(get("prod", "/nothing"), (403, '{"message":"Missing Authentication Token"}'))

prod = dict(restApiId=api, stageName="prod")
settings = apigateway.update_stage(**prod, patchOperations=[
    {"op": "replace", "path": "/canarySettings/percentTraffic", "value": "50.0"},
    {"op": "replace", "path": "/canarySettings/stageVariableOverrides/lambdaAlias", "value": "staging"},
])["canarySettings"]
same(settings, {"percentTraffic": 50.0, "deploymentId": first, "stageVariableOverrides": {"lambdaAlias": "staging"}, "useStageCache": False})
assert isinstance(settings["percentTraffic"], float)
refused("BadRequestException", "Non canary deployment not supported on stage prod because Canary is enabled", apigateway.create_deployment, **prod)
second = apigateway.create_deployment(**prod, canarySettings={"percentTraffic": 50, "stageVariableOverrides": {"lambdaAlias": "staging"}})["id"]
seen = [json.loads(get("prod")[1])["version"] for _ in range(60)]
assert set(seen) == {"1", "2"} and 10 < seen.count("2") < 50, seen
refused("BadRequestException", "Active stages pointing to this deployment must be moved or deleted",
        apigateway.delete_deployment, restApiId=api, deploymentId=second)

stage = apigateway.update_stage(**prod, patchOperations=[
    {"op": "replace", "path": "/canarySettings/percentTraffic", "value": "0.0"},
    {"op": "copy", "from": "/canarySettings/stageVariableOverrides", "path": "/variables"},
    {"op": "copy", "from": "/canarySettings/deploymentId", "path": "/deploymentId"},
])
same((stage["deploymentId"], stage["variables"], stage["canarySettings"]["percentTraffic"]), (second, {"lambdaAlias": "staging"}, 0.0))
stage = apigateway.update_stage(**prod, patchOperations=[{"op": "remove", "path": "/canarySettings"}])
assert "canarySettings" not in stage
only("prod", 2)
answer = functions.invoke(FunctionName=name, Qualifier="dev", Payload=b"{}")
same((answer["ExecutedVersion"], json.loads(answer["Payload"].read())["statusCode"]), ("3", 200))
test = apigateway.test_invoke_method(restApiId=api, resourceId=resource, httpMethod="GET", stageVariables={"lambdaAlias": "dev"})
same((test["status"], json.loads(test["body"])["version"]), (200, "3"))

for stage in ["prod", "staging", "dev"]:
    apigateway.delete_stage(restApiId=api, stageName=stage)
for deployment in apigateway.get_deployments(restApiId=api)["items"]:
    apigateway.delete_deployment(restApiId=api, deploymentId=deployment["id"])
apigateway.delete_resource(restApiId=api, resourceId=resource)
apigateway.delete_rest_api(restApiId=api)
for alias in ["prod", "staging", "dev"]:
    functions.remove_permission(FunctionName=name, Qualifier=alias, StatementId="gateway")
    functions.delete_alias(FunctionName=name, Name=alias)
functions.delete_function(FunctionName=name)
same((apigateway.get_rest_apis()["items"], functions.list_functions()["Functions"]), ([], []))
print("ok")
