# Made here: cargo-generate-rpm 0.21 fails on a directory of its own.
install -d -m 0755 /etc/osnl/conf.d
install -d -o osnl -g osnl -m 0700 /var/lib/osnl
install -d -o osnl -g osnl -m 0750 /var/log/osnl
# A program of that name that another package or an operator has installed stays what it is.
for name in k2hr3_osnl k2hr3-osnl oss_watcher oss-watcher; do
    if [ -e /usr/bin/$name ] && [ ! -L /usr/bin/$name ]; then
        continue
    fi
    page=
    case $name in
        *-*) page="--slave /usr/share/man/man1/$name.1.gz $name.1.gz /usr/share/man/man1/osnl-$name.1.gz" ;;
    esac
    # shellcheck disable=SC2086 # $page is several words, or none
    update-alternatives --install /usr/bin/$name $name /usr/bin/osnl 50 $page
done
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || :
    if [ "$1" -eq 1 ]; then
        systemctl preset osnl.service k2hr3_osnl.service || :
    fi
fi
