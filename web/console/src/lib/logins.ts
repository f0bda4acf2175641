// Which devices that ask to join are shown, while they come and go. Pure.

// Where the reader's hand is: on the list below the strip, on the strip itself, or away from both.
export type Hand = 'list' | 'strip' | 'away'

/*
 * shown: what the strip has; wanted: those that wait, in order. Rows that come or go at the strip move the list below it, rows
 * that go move the strip. What no longer exists at all (decided here) goes always.
 */
export function shownLogins(shown: readonly string[], wanted: readonly string[], hand: Hand, exists: (id: string) => boolean): string[] {
	if (hand === 'away') return [...wanted]
	const kept = shown.filter(exists)
	return hand === 'list' ? kept : [...kept, ...wanted.filter(id => !kept.includes(id))]
}
