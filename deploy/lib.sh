# Shared by the scripts of this folder; sourced, with the working directory at the project's root.
# shellcheck shell=bash

say() {
    printf '== %s\n' "$*"
}

# Installs the packages of a list that are missing (Debian and Ubuntu; elsewhere they are left to
# the user, and meson says what it does not find).
install_packages() { # FILE
    command -v dpkg-query >/dev/null || return 0
    local missing=() name
    while read -r name; do
        dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q 'ok installed' ||
            missing+=("$name")
    done < <(grep -v '^#' "$1")
    [ ${#missing[@]} -eq 0 ] && return 0
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null || ! sudo -n true 2>/dev/null; then
            say "missing packages; install them first: apt-get install ${missing[*]}"
            return 1
        fi
        say "installing ${missing[*]}"
        sudo apt-get update -q && sudo apt-get install -q -y --no-install-recommends "${missing[@]}"
        return
    fi
    say "installing ${missing[*]}"
    apt-get update -q &&
        DEBIAN_FRONTEND=noninteractive \
            apt-get install -q -y --no-install-recommends "${missing[@]}"
}

# Configures and builds; a build folder that exists is brought to the same options.
build() { # FOLDER COMPILER OPTION…
    local folder=$1 compiler=$2
    shift 2
    command -v ccache >/dev/null && compiler="ccache $compiler"
    if [ -e "$folder/build.ninja" ]; then
        meson configure "$folder" "$@"
    else
        CC=$compiler meson setup "$folder" "$@"
    fi && ninja -C "$folder"
}
