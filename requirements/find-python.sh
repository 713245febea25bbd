#!/bin/sh
# Prints a Python 3.11, 3.12 or 3.13 that can make virtual environments: the one named in $1, else the first found.
named="$1"
seen=""
for candidate in ${named:-python3 python3.12 python3.13 python3.11 python}; do
    path=$(command -v "$candidate" 2>/dev/null) || continue
    version=$("$path" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
    case "$version" in
    3.11 | 3.12 | 3.13)
        if "$path" -c 'import ensurepip, venv' 2>/dev/null; then
            echo "$path"
            exit 0
        fi
        seen="$seen  $path is Python $version but cannot make virtual environments (Debian: apt install python$version-venv)
"
        ;;
    *)
        seen="$seen  $path is Python $version
"
        ;;
    esac
done
{
    echo "Sightline needs Python 3.11, 3.12 or 3.13. Found:"
    printf '%s' "${seen:-  none of ${named:-python3, python3.11, python3.12, python3.13}
}"
    echo "Install one (Debian, Ubuntu: apt install python3.12 python3.12-venv; macOS: brew install python@3.12), then"
    echo "run make again; or name one that is not on PATH: make demo PYTHON=/path/to/python3.12"
} >&2
exit 2
