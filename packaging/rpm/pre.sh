getent group osnl > /dev/null || groupadd -r osnl
getent passwd osnl > /dev/null || useradd -r -g osnl -d /var/lib/osnl -M -s /usr/sbin/nologin -c "OpenStack notification listener" osnl
getent group k2hr3 > /dev/null || groupadd -r k2hr3
getent passwd k2hr3 > /dev/null || useradd -r -g k2hr3 -d / -M -s /usr/sbin/nologin -c "OpenStack notification listener for K2HR3" k2hr3
