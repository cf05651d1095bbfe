#!/usr/bin/env bash
# Succeeds where there is Chromium for the tests of the web UI. Where it is missing, root on Debian gets
# it installed; elsewhere this fails and says what to install.
set -uo pipefail
for name in chromium chromium-browser google-chrome; do
    command -v "$name" > /dev/null && exit 0
done
if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
    echo "installing Debian's package chromium"
    export DEBIAN_FRONTEND=noninteractive
    for _ in 1 2; do
        timeout 120 apt-get update -qq > /dev/null \
            && timeout 600 apt-get install -y -qq --no-install-recommends chromium > /dev/null && exit 0
    done
fi
echo "without Chromium the tests of the web UI in a browser do not run: install Debian's package chromium"
exit 1
