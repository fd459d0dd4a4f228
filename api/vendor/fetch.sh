#!/bin/sh
# Swagger UI as its makers publish it, gzipped, into this folder. Needs npm. Run it again to move to another version.
set -eu
version=5.35.0
integrity=sha512-U06rpMtW9V3XPGOBeamTUSr0Z09jMX4IJuANpE/EZbAhw0G8CgwrzU4YmXkn/h0wCDNsXdGarTNNHC3sU8yVUQ==
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm pack --silent "swagger-ui-dist@$version" >/dev/null
actual=sha512-$(openssl dgst -sha512 -binary "swagger-ui-dist-$version.tgz" | base64 -w0)
[ "$actual" = "$integrity" ] || { echo "swagger-ui-dist $version is not the expected one: $actual" >&2; exit 1; }
tar xzf "swagger-ui-dist-$version.tgz"
gzip -9nc package/swagger-ui-bundle.js > "$here/swagger-ui-bundle.js.gz"
gzip -9nc package/swagger-ui.css > "$here/swagger-ui.css.gz"
cp package/LICENSE "$here/swagger-ui.LICENSE"
cat package/NOTICE package/swagger-ui-bundle.js.LICENSE.txt > "$here/swagger-ui.NOTICE"
