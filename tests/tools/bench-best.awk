# Figures of several runs ("LABEL n=N: WHAT VALUE UNIT"): the best of each, the highest rate or the lowest of
# anything else, and how the CPU of an event grows with the number of nodes.
function value_at(i) {
	for (i = NF; i > 1; i--)
		if ($i ~ /^-?[0-9]+([.][0-9]+)?$/)
			return i
	return 0
}

(at = value_at()) > 0 {
	v = $at + 0
	text = $at
	$at = "%s"
	if (!($0 in shown))
		order[++n] = $0
	if (!($0 in shown) || (/ rate / ? v > best[$0] : v < best[$0])) {
		best[$0] = v
		shown[$0] = text
	}
}

END {
	for (i = 1; i <= n; i++) {
		k = order[i]
		if (times > 1)
			printf "best of " times ", " k "\n", shown[k]
		if (k !~ /(change|last change|join|node|command), server cpu(, lowest)? %s ms/ ||
		    !match(k, / n=[0-9]+/))
			continue
		size = substr(k, RSTART + 3, RLENGTH - 3) + 0
		what = substr(k, 1, RSTART - 1) substr(k, RSTART + RLENGTH)
		sub(/ %s.*/, "", what)
		if (what in last)
			grown[++m] = sprintf("%s, from %d to %d nodes (x%.1f): x%.1f", what, last[what], size,
			    size / last[what], best[k] / cost[what])
		last[what] = size
		cost[what] = best[k]
	}
	for (i = 1; i <= m; i++)
		print grown[i]
}
