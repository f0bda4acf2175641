# Figures of several runs ("LABEL n=N: WHAT VALUE UNIT"): the best of each, the highest rate or the lowest of
# anything else, and how the CPU of an event grows with the number of nodes.
function value_at(i) {
	for (i = NF; i > 1; i--)
		if ($i ~ /^-?[0-9]+([.][0-9]+)?$/)
			return i
	return 0
}

(at = value_at()) > 0 {
	text = $at
	v = text + 0
	$at = "<>"
	if (!($0 in shown))
		order[++n] = $0
	if (!($0 in shown) || (/ rate / ? v > best[$0] : v < best[$0])) {
		best[$0] = v
		shown[$0] = text
	}
}

END {
	for (i = 1; i <= n; i++) {
		k = line = order[i]
		sub(/<>/, shown[k], line)
		if (times > 1)
			print "best of " times ": " line
		if (k !~ /(change|join|node|command), server cpu(, lowest)? <> ms/ || !match(k, / n=[0-9]+/))
			continue
		size = substr(k, RSTART + 3, RLENGTH - 3) + 0
		what = substr(k, 1, RSTART - 1) substr(k, RSTART + RLENGTH)
		sub(/ <>.*/, "", what)
		if (what in last && best[k] > 0 && cost[what] > 0)
			grown[++m] = sprintf("%s, from %d to %d nodes (x%.1f): x%.1f", what, last[what], size,
			    size / last[what], best[k] / cost[what])
		last[what] = size
		cost[what] = best[k]
	}
	for (i = 1; i <= m; i++)
		print grown[i]
}
