import { describe, expect, test } from 'vitest'
import { bytes, count, duration, plural, rate, when } from '../src/lib/format'

const NOW = Date.UTC(2026, 10, 23, 12)
const S = 1000
const MIN = 60 * S
const H = 60 * MIN
const D = 24 * H

describe('when', () => {
	test.each([
		[0, 'now'], [59 * S, 'now'], [60 * S, '1 min ago'], [59 * MIN, '59 min ago'], [H, '1 h ago'], [23 * H, '23 h ago'], [D, '1 d ago'],
		[7 * D - S, '6 d ago'], [7 * D, '16 Nov 2026'], [-30 * S, 'in a moment'], [-5 * MIN, 'in 5 min'], [-3 * D - H, 'in 3 d'], [-90 * D, '21 Feb 2027'],
	])('%i ms before now is %s', (before, text) => expect(when(NOW - before, NOW)).toBe(text))
})

test.each([
	[0, '0 s'], [999, '0 s'], [45 * S, '45 s'], [60 * S, '1 min'], [3 * H + 5 * MIN, '3 h 5 min'], [3 * H, '3 h'], [3 * D + 4 * H + 9 * MIN, '3 d 4 h'],
	[400 * D, '400 d'], [-5, '0 s'],
])('%i ms last %s', (ms, text) => expect(duration(ms)).toBe(text))

test.each([
	[0, '0 B'], [999, '999 B'], [1000, '0.977 KiB'], [1024, '1 KiB'], [1023.9 * 1024, '1 MiB'], [1.2 * 2 ** 30, '1.2 GiB'], [88.44 * 2 ** 30, '88.4 GiB'],
	[2 ** 60, '1,020 PiB'],
])('%d bytes are %s', (n, text) => expect(bytes(n)).toBe(text))

test.each([[0, '0 B/s'], [999.6, '1 kB/s'], [12_400_000, '12.4 MB/s'], [1e9, '1 GB/s']])('%d a second is %s', (n, text) => expect(rate(n)).toBe(text))

test('counts and plurals', () => {
	expect(count(1604)).toBe('1,604')
	expect(plural(1, 'machine')).toBe('1 machine')
	expect(plural(0, 'machine')).toBe('0 machines')
	expect(plural(2000, 'machine waits', 'machines wait')).toBe('2,000 machines wait')
})
