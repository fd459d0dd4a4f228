#!/bin/sh
# Regenerates heartstream/embedded_kafka/jars.lock: each jar that Apache Kafka needs at run time, as its Maven coordinates,
# size in bytes and SHA-256. Needs Maven, which finds the versions and verifies what it downloads.
#   requirements/jars.sh 4.1.0
set -eu
kafka=${1:?usage: requirements/jars.sh KAFKA_VERSION} log4j=2.24.3
cd "$(dirname "$0")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

cat >"$scratch/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion><groupId>local</groupId><artifactId>kafka</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$kafka</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>$log4j</version></dependency>
  </dependencies>
</project>
POM
mvn --quiet --batch-mode --file "$scratch/pom.xml" dependency:copy-dependencies -DincludeScope=runtime \
  -Dmdep.useRepositoryLayout=true -DoutputDirectory="$scratch/jars"

cd "$scratch/jars"
find . -name '*.jar' | LC_ALL=C sort | while read -r jar; do # ./GROUP/AS/FOLDERS/ARTIFACT/VERSION/ARTIFACT-VERSION.jar
  folder=$(dirname "${jar#./}")
  version=$(basename "$folder") artifact=$(basename "$(dirname "$folder")")
  group=$(dirname "$(dirname "$folder")" | tr / .)
  echo "$group:$artifact:$version $(wc -c <"$jar") $(sha256sum "$jar" | cut -d' ' -f1)"
done >"$scratch/jars.lock"
mv "$scratch/jars.lock" "$OLDPWD/heartstream/embedded_kafka/jars.lock"
