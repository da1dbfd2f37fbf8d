# Makes what the packages have beside the files of the repository, in this folder: `$1` is the program as it was built,
# `$2` the version with its revision, `$3` the date of the changelog, `$4` the maintainer.
umask 022
ln -f "$1" osnl 2> /dev/null || cp "$1" osnl
mkdir -p stripped debug man1 man5 bash zsh fish

# cargo-deb splits the program itself, cargo-generate-rpm does not.
objcopy --only-keep-debug --compress-debug-sections=zlib osnl stripped/osnl.debug
objcopy --strip-unneeded --add-gnu-debuglink=stripped/osnl.debug osnl stripped/osnl
id=$(readelf --notes --wide osnl | sed -n 's/.*Build ID: *//p')
lines=debug/.build-id/$(echo "$id" | cut -c 1-2)
mkdir -p "$lines"
mv stripped/osnl.debug "$lines/$(echo "$id" | cut -c 3-).debug"

# The pages of the replaced programs have names of their own: alternatives lead to them.
./stripped/osnl man --output-dir man1
mv man1/osnl.conf.5 man5/
for name in k2hr3-osnl oss-watcher; do
    mv "man1/$name.1" "man1/osnl-$name.1"
done
for name in osnl k2hr3-osnl k2hr3_osnl oss-watcher oss_watcher; do
    ./stripped/osnl completions bash --program "$name" > "bash/$name"
    ./stripped/osnl completions zsh --program "$name" > "zsh/_$name"
    ./stripped/osnl completions fish --program "$name" > "fish/$name.fish"
done

cat > changelog.Debian << END
osnl ($2) unstable; urgency=medium

  * Version ${2%-*}: the changes are in changelog.gz.

 -- $4  $3
END
gzip -9n man1/* man5/* changelog.Debian THIRD-PARTY.txt
