// Orders that people expect: edge-2 before edge-10, 1.9 before 1.10, 100.64.0.2 before 100.64.0.10. Pure.

const collator = new Intl.Collator('en', { numeric: true, sensitivity: 'base' })

export const byText = (a: string, b: string) => collator.compare(a, b)

// "1.96.2-t0123" -> [1, 96, 2]; what is not a number ends it.
export function versionParts(text: string): number[] {
	const m = /^v?(\d+(?:\.\d+)*)/.exec(text)
	return m ? m[1]!.split('.').map(Number) : []
}

export function byVersion(a: string, b: string): number {
	const x = versionParts(a)
	const y = versionParts(b)
	for (let i = 0; i < Math.max(x.length, y.length); i++) {
		const d = (x[i] ?? -1) - (y[i] ?? -1)
		if (d) return d
	}
	return 0
}

// The version without what a build adds: "1.96.2-t0123-g4567" -> "1.96.2".
export const shortVersion = (text: string) => versionParts(text).join('.') || text

function addressNumber(text: string): number {
	const p = text.split('.')
	return p.length === 4 ? p.reduce((n, part) => n * 256 + Number(part), 0) : Infinity
}

export function byAddress(a: string, b: string): number {
	const x = addressNumber(a)
	const y = addressNumber(b)
	return x === y ? byText(a, b) : x - y
}
