if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || :
    if [ "$1" -ge 1 ]; then
        systemctl try-restart osnl.service 'osnl@*.service' k2hr3_osnl.service || :
    fi
fi
if [ "$1" -eq 0 ]; then
    for folder in /etc/osnl/conf.d /etc/osnl /etc/k2hr3 /var/lib/osnl /var/log/osnl; do
        [ ! -d $folder ] || rmdir --ignore-fail-on-non-empty $folder
    done
fi
