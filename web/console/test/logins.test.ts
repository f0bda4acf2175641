import { expect, test } from 'vitest'
import { shownLogins, type Hand } from '../src/lib/logins'

const ids = (s: string) => [...s]

// shown before, waiting now, hand, known at all (waiting or ended by others), shown then
test.each<[string, string, Hand, string, string]>([
	['', '', 'away', '', ''], ['', 'ab', 'away', 'ab', 'ab'], ['ab', 'b', 'away', 'ab', 'b'], ['ab', 'bc', 'away', 'abc', 'bc'],
	['', 'ab', 'list', 'ab', ''], ['ab', 'bc', 'list', 'abc', 'ab'], ['ab', 'b', 'list', 'b', 'b'], ['ab', '', 'list', 'ab', 'ab'],
	['', 'ab', 'strip', 'ab', 'ab'], ['ab', 'bc', 'strip', 'abc', 'abc'], ['ab', 'c', 'strip', 'bc', 'bc'],
])('%s shown, %s waiting, hand %s, %s known: %s', (shown, wanted, hand, known, out) =>
	expect(shownLogins(ids(shown), ids(wanted), hand, id => known.includes(id)).join('')).toBe(out))
