if [ "$1" -eq 0 ]; then
    if [ -d /run/systemd/system ]; then
        systemctl disable --now osnl.service 'osnl@*.service' k2hr3_osnl.service || :
    fi
    for name in k2hr3_osnl k2hr3-osnl oss_watcher oss-watcher; do
        update-alternatives --remove $name /usr/bin/osnl || :
    done
fi
