#!/bin/sh
# embed_files.sh DIR OUT: C source of every file below DIR, each also gzipped where that is smaller, as the table of
# web/assets.h. DIR may be missing: an empty table. The packed copies go to OUT.
set -eu
dir=$1
out=$2
printf '#include "web/assets.h"\n\n'
rm -rf "$out"
table=
n=0
if [ -d "$dir" ]; then
	mkdir -p "$out"
	for path in $(cd "$dir" && find . -type f ! -name '*.map' | sort | sed 's|^\./||'); do
		case $path in *[!A-Za-z0-9._/-]*) echo "odd file name: $path" >&2; exit 1 ;; esac
		case $path in
		*.html) type='text/html; charset=utf-8' ;;
		*.js) type='text/javascript; charset=utf-8' ;;
		*.css) type='text/css; charset=utf-8' ;;
		*.svg) type='image/svg+xml' ;;
		*.png) type='image/png' ;;
		*.ico) type='image/x-icon' ;;
		*.json) type='application/json' ;;
		*.webmanifest) type='application/manifest+json' ;;
		*.txt) type='text/plain; charset=utf-8' ;;
		*) type='application/octet-stream' ;;
		esac
		# Names below assets/ have a hash of the content in them.
		case $path in assets/*) forever=true ;; *) forever=false ;; esac
		tag=$(sha256sum "$dir/$path" | cut -c 1-16)
		packed="$out/$n.gz"
		gzip -9n <"$dir/$path" >"$packed"
		gz=NULL
		gz_end=NULL
		incbin() {
			printf '__asm__(".section .rodata\\n%s:\\n.incbin \\"%s\\"\\n%s_end:\\n.byte 0\\n.previous\\n");\n' \
			    "$1" "$2" "$1"
			printf 'extern const uint8_t %s[] __attribute__((visibility("hidden")));\n' "$1"
			printf 'extern const uint8_t %s_end[] __attribute__((visibility("hidden")));\n' "$1"
		}
		incbin "asset_$n" "$dir/$path" | sed "s|^__asm__(\"|&.global asset_$n, asset_${n}_end\\\\n|"
		if [ "$(wc -c <"$packed")" -lt "$(wc -c <"$dir/$path")" ]; then
			incbin "asset_${n}_gz" "$packed" |
			    sed "s|^__asm__(\"|&.global asset_${n}_gz, asset_${n}_gz_end\\\\n|"
			gz="asset_${n}_gz"
			gz_end="asset_${n}_gz_end"
		fi
		table="$table	{ \"/$path\", \"$type\", \"$tag\", asset_$n, asset_${n}_end, $gz, $gz_end, $forever },
"
		n=$((n + 1))
	done
fi
printf 'const struct asset assets_table[] = {\n%s' "$table"
printf '	{ NULL, NULL, NULL, NULL, NULL, NULL, NULL, false },\n};\nconst size_t assets_count = %d;\n' "$n"
