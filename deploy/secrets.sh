#!/bin/sh
# Makes the secrets that docker-compose.yml needs: passwords and API keys in .env, the keys' hashes in
# deploy/secrets/keys. Neither file is in git. Run it once, in the checkout:
#
#   sh deploy/secrets.sh
#
# To add a key: `clew key NAME --scope read --api-keys deploy/secrets/keys`; clew reads the file again.
set -eu
umask 077
cd "$(dirname "$0")/.."
if [ -e .env ] || [ -e deploy/secrets/keys ]; then
    echo "secrets.sh: .env or deploy/secrets/keys exists already; nothing was changed" >&2
    exit 1
fi

random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }
hash() { printf %s "$1" | sha256sum | cut -c1-64; }

ingest=clew_$(random) read=clew_$(random) admin=clew_$(random)
clew=$(random) otelcol=$(random)

# Containers read the file as another user, so it is readable; the directory keeps everybody else out.
mkdir -p -m 700 deploy/secrets
{
    echo "# docker-compose.yml gives this to clew; see clew key"
    echo "shop ingest sha256:$(hash "$ingest")"
    echo "grafana read sha256:$(hash "$read")"
    echo "admin read,admin sha256:$(hash "$admin")"
} > deploy/secrets/keys
chmod 644 deploy/secrets/keys

cat > .env <<END
# API keys: for sending, for reading (Grafana's password at ClickHouse too), for changing definitions
CLEW_INGEST_KEY=$ingest
CLEW_READ_KEY=$read
CLEW_ADMIN_KEY=$admin
# ClickHouse's users; the servers get only the hashes
CLEW_PASSWORD=$clew
CLEW_PASSWORD_SHA256=$(hash "$clew")
OTELCOL_PASSWORD=$otelcol
OTELCOL_PASSWORD_SHA256=$(hash "$otelcol")
GRAFANA_PASSWORD_SHA256=$(hash "$read")
CLICKHOUSE_CLUSTER_SECRET=$(random)
# Grafana's user admin
GRAFANA_ADMIN_PASSWORD=$(random | cut -c1-20)
END
echo "made .env and deploy/secrets/keys"
