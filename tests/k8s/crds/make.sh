#!/bin/sh
# Makes the definitions of custom resources that the manifests use, without their descriptions, from what the operators
# publish: KEDA and the Prometheus operator as Go modules, Strimzi as Java classes (its generator needs Java 21).
# Needs go, mvn, java (or JAVA) and Python with PyYAML:  sh tests/k8s/crds/make.sh
set -eu
cd "$(dirname "$0")"
KEDA=v2.21.0 PROMETHEUS=v0.85.0 STRIMZI=1.2.0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

module() { go mod download -json "$1" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p'; }
keda=$(module "github.com/kedacore/keda/v2@$KEDA")/config/crd/bases
prometheus=$(module "github.com/prometheus-operator/prometheus-operator@$PROMETHEUS")/example/prometheus-operator-crd
cp "$keda/keda.sh_scaledobjects.yaml" "$keda/keda.sh_triggerauthentications.yaml" "$work"
cp "$prometheus/monitoring.coreos.com_servicemonitors.yaml" "$prometheus/monitoring.coreos.com_prometheusrules.yaml" "$work"

dependency() { echo "<dependency><groupId>io.strimzi</groupId><artifactId>$1</artifactId><version>$STRIMZI</version></dependency>"; }
cat >"$work/pom.xml" <<XML
<project><modelVersion>4.0.0</modelVersion><groupId>local</groupId><artifactId>crds</artifactId><version>1</version>
<dependencies>$(dependency api)$(dependency crd-generator)</dependencies></project>
XML
mvn -q -B -f "$work/pom.xml" dependency:copy-dependencies -DoutputDirectory="$work/lib"
model=io.strimzi.api.kafka.model
"${JAVA:-java}" -cp "$work/lib/*" io.strimzi.crdgenerator.CrdGenerator --yaml \
  $model.kafka.Kafka="$work/kafka.yaml" $model.nodepool.KafkaNodePool="$work/kafkanodepool.yaml" \
  $model.topic.KafkaTopic="$work/kafkatopic.yaml" $model.user.KafkaUser="$work/kafkauser.yaml"

"${PYTHON:-python3}" - "$work" <<'PYTHON'
import json, pathlib, sys
import yaml

def stripped(node):
    """Leave the descriptions out: they are other people's sentences, and most of the bytes."""
    if isinstance(node, dict):
        return {key: stripped(value) for key, value in node.items() if not (key == "description" and isinstance(value, str))}
    return [stripped(item) for item in node] if isinstance(node, list) else node

for source in sorted(pathlib.Path(sys.argv[1]).glob("*.yaml")):
    definition = stripped(yaml.safe_load(source.read_text()))
    name = definition["metadata"]["name"]
    definition["metadata"] = {"name": name, "annotations": {"api-approved.kubernetes.io": "unapproved, a copy for tests"}}
    pathlib.Path(f"{name}.json").write_text(json.dumps(definition, separators=(",", ":"), sort_keys=True) + "\n")
PYTHON
