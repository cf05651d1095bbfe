#!/usr/bin/env bash
# Installs Chromium for the tests in a browser, where it is missing and can be installed: as root, on
# Debian. Without it those tests are skipped.
set -uo pipefail
for name in chromium chromium-browser google-chrome; do
    command -v "$name" > /dev/null && exit 0
done
if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
    echo "installing Debian's package chromium"
    export DEBIAN_FRONTEND=noninteractive
    for _ in 1 2; do
        timeout 300 apt-get update -qq > /dev/null \
            && timeout 600 apt-get install -y -qq --no-install-recommends chromium > /dev/null && exit 0
    done
fi
echo "the tests of the web UI are skipped: they need Debian's package chromium"
