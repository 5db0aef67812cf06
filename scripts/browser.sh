#!/usr/bin/env bash
# Makes sure that the tests have a Chromium: one on PATH, else Playwright's own, else the system's package.
# usage: scripts/browser.sh PYTHON   (a Python that has the package playwright)
set -u
python=$1

found() { "$python" "$(dirname "$0")/../tests/book/browser.py"; }   # prints the browser it can start

found && exit
echo "No Chromium on PATH: asking Playwright for one ..." >&2
"$python" -m playwright install --with-deps chromium && found && exit
echo "Playwright could not install one: asking the system's package manager ..." >&2
as_root=()
if [ "$(id -u)" != 0 ]; then as_root=(sudo -n); fi
if command -v apt-get >/dev/null; then
    "${as_root[@]}" apt-get update -qq && DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq chromium && found && exit
elif command -v dnf >/dev/null; then
    "${as_root[@]}" dnf install -y -q chromium && found && exit
fi
echo "The tests open the book in a real browser, and none could be found or installed." >&2
echo "Install Chromium or Google Chrome so that it is on PATH, then run make test again." >&2
exit 1
