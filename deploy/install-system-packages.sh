#!/usr/bin/env bash
# Installs what the tests need beside Python: Java 17 and Maven (a real Kafka node), Prometheus
# Installs what the tests need beside Python: Java 17 and Maven (a real Kafka node), Prometheus,
# Alertmanager and Chromium. For Debian and Ubuntu; does nothing where all of it is there already.
set -euo pipefail

packages=()
# The first number of `java -version` is the release; Kafka 4 needs 17.
release=$(java -version 2>&1 | sed -nE 's/.* version "([0-9]+).*/\1/p' || true)
[ "${release:-0}" -ge 17 ] || packages+=(openjdk-17-jre-headless)
command -v mvn >/dev/null || packages+=(maven)
command -v chromium >/dev/null || packages+=(chromium)
command -v prometheus >/dev/null || packages+=(prometheus)
command -v prometheus-alertmanager >/dev/null || packages+=(prometheus-alertmanager)
[ ${#packages[@]} -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null; then
    echo "This machine has no apt-get: install ${packages[*]} in its own way." >&2
    exit 1
fi
sudo=()
[ "$(id -u)" = 0 ] || sudo=(sudo)
export DEBIAN_FRONTEND=noninteractive
"${sudo[@]}" apt-get -qq update
"${sudo[@]}" apt-get -qq install -y --no-install-recommends "${packages[@]}"

# Debian starts both at once as services; the tests start their own.
for service in prometheus prometheus-alertmanager; do
    if [[ " ${packages[*]} " == *" $service "* && -d /run/systemd/system ]]; then
        "${sudo[@]}" systemctl disable --now "$service"
    fi
done
