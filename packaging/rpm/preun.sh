if [ "$1" -eq 0 ]; then
    if [ -d /run/systemd/system ]; then
        # disable takes no pattern: the name of the template disables its instances, and stop ends those that run.
        systemctl disable --now osnl.service k2hr3_osnl.service || :
        systemctl stop 'osnl@*.service' || :
        systemctl disable osnl@.service || :
    fi
    for name in k2hr3_osnl k2hr3-osnl oss_watcher oss-watcher; do
        update-alternatives --remove $name /usr/bin/osnl || :
    done
fi
