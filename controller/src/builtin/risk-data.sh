#!/bin/sh
# Reports the facts about this Mac that risk rules ask for, as one line of JSON.
# The answer holds no time and no counter: a changed answer starts a renewal.
says() {
    wanted=$1
    shift
    if "$@" 2>/dev/null | grep -q "$wanted"; then echo true; else echo false; fi
}
printf '{"diskEncrypted":%s,"firewallEnabled":%s,"systemIntegrity":%s,"gatekeeper":%s,"osVersion":"%s"}\n' \
    "$(says 'FileVault is On' fdesetup status)" \
    "$(says 'is enabled' /usr/libexec/ApplicationFirewall/socketfilterfw --getglobalstate)" \
    "$(says 'status: enabled' csrutil status)" \
    "$(says 'assessments enabled' spctl --status)" \
    "$(sw_vers -productVersion 2>/dev/null)"
