import { describe, expect, test } from 'vitest'
import { drift, rowWindow, withNew } from '../src/lib/rows'

const ids = (s: string) => [...s]

test.each([
	['abc', 'abc', 0], ['', '', 0], ['', 'ab', 2], ['ab', '', 2], ['abc', 'abcd', 1], ['abc', 'ac', 1], ['abc', 'bca', 1], ['abcd', 'dcba', 3],
	['abcd', 'xbcd', 2], ['abcdef', 'abfcde', 1],
])('from %s to %s: %i rows come, go or move', (shown, wanted, n) => expect(drift(ids(shown), ids(wanted))).toBe(n))

test.each([
	['abc', 'abc', 'abc'], ['', 'ab', 'ab'], ['ac', 'abc', 'abc'], ['ca', 'abc', 'cab'], ['bc', 'abcd', 'abcd'], ['abc', 'a', 'abc'], ['abc', 'xyb', 'xyabc'],
	['ab', 'xaybz', 'xaybz'],
])('%s with what is new in %s is %s', (shown, wanted, out) => expect(withNew(ids(shown), ids(wanted)).join('')).toBe(out))

test('no order is ever changed, nothing shown is lost, all that is new is there', () => {
	let seed = 7
	const random = (n: number) => (seed = (seed * 48271) % 2147483647) % n
	for (let round = 0; round < 300; round++) {
		const pick = () => ids('abcdefghij').filter(() => random(2)).sort(() => random(3) - 1)
		const shown = pick()
		const wanted = pick()
		const out = withNew(shown, wanted)
		expect(out.filter(id => shown.includes(id))).toEqual(shown)
		expect([...out].sort()).toEqual([...new Set([...shown, ...wanted])].sort())
	}
})

describe('rowWindow', () => {
	test('draws what the window shows and a little more', () => {
		const w = rowWindow(10_000, 50, 5000, 6000, [])
		expect(w.rows).toEqual(Array.from({ length: 32 }, (_, i) => 94 + i))
		expect([...w.gaps]).toEqual([[94, 94]])
		expect(w.after).toBe(10_000 - 126)
	})
	test('keeps the focused row outside of it', () => {
		const w = rowWindow(1000, 50, 5000, 5100, [3], 0)
		expect(w.rows).toEqual([3, 100, 101])
		expect([...w.gaps]).toEqual([[3, 3], [100, 96]])
		expect(w.after).toBe(898)
	})
	test.each([[0, 0, 500], [5, -900, -400], [5, 9000, 9500]])('adds up for %i rows between %i and %i', (n, top, bottom) => {
		const w = rowWindow(n, 50, top, bottom, [-1, 99])
		expect([...w.gaps.values()].reduce((a, b) => a + b, 0) + w.rows.length + w.after).toBe(n)
	})
})
