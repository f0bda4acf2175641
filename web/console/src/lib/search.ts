/*
 * The search line of the machine list. Pure.
 *
 *   line   words and terms with spaces between; all must match; - in front negates; "a b" is one word
 *   word   part of name, address, tag, owner, operating system
 *   term   tag:cam  os:linux  user:ann  is:online|offline|expired|pending|expiring|ephemeral|routes|attention
 *          version:1.96  version:<1.90  (also <= > >=)
 */
import { versionParts } from './compare'
import { attention, isExpired, isPending, type Machine } from './model'

const keys = ['tag', 'os', 'user', 'is', 'version'] as const
// Other keys are none: an address such as fd7a:115c::1 is a word.
const termShape = new RegExp(`(-?)(?:(${keys.join('|')}):)?(?:"([^"]*)"?|([^\\s"]*))`, 'gi')

export interface Term {
	text: string // as it stands in the line
	negated: boolean
	key: string // '' for a word
	value: string
}

export const states = ['online', 'offline', 'pending', 'expired', 'expiring', 'ephemeral', 'routes', 'attention'] as const

export function parse(line: string): Term[] {
	const out: Term[] = []
	for (const m of line.matchAll(termShape)) {
		const [text, minus, key, quoted, bare] = m
		out.push({
			text, negated: minus === '-', key: (key ?? '').toLowerCase(), value: (quoted ?? bare ?? '').toLowerCase(),
		})
	}
	// "tag:" alone, still being typed, says nothing yet.
	return out.filter(t => t.value !== '')
}

export const quote = (value: string) => (/[\s"]/.test(value) ? `"${value.replaceAll('"', '')}"` : value)

// The line with all terms of a key replaced by one (or none, for an empty value).
export function withTerm(line: string, key: string, value: string): string {
	const rest = parse(line).filter(t => t.key !== key || t.negated).map(t => t.text)
	if (value) rest.push(`${key}:${quote(value)}`)
	return rest.join(' ')
}

export const without = (line: string, term: Term) =>
	parse(line).filter(t => t.text !== term.text).map(t => t.text).join(' ')

// The value of the only positive term of a key, '' if there is none.
export function termValue(line: string, key: string): string {
	return parse(line).find(t => t.key === key && !t.negated)?.value ?? ''
}

// What is wrong with a line, or ''.
export function complaint(line: string): string {
	for (const t of parse(line)) {
		if (t.key === 'is' && !(states as readonly string[]).includes(t.value)) {
			return `is:${t.value} is not known. Use is: with ${states.join(', ')}.`
		}
		if (t.key === 'version' && !versionParts(t.value.replace(/^[<>]=?/, '')).length) {
			return `${t.text} is not a version. Write version:1.96 or version:<1.90.`
		}
	}
	return ''
}

export interface Vocabulary {
	tags: string[]
	os: string[]
	users: string[]
}

export function vocabulary(machines: Iterable<Machine>): Vocabulary {
	const tags = new Set<string>()
	const os = new Set<string>()
	const users = new Set<string>()
	for (const m of machines) {
		m.tags.forEach(t => tags.add(t))
		if (m.os) os.add(m.os.toLowerCase())
		if (m.user) users.add(m.user)
	}
	const sorted = (s: Set<string>) => [...s].sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))
	return { tags: sorted(tags), os: sorted(os), users: sorted(users) }
}

function versionMatches(version: string, want: string): boolean {
	const m = /^([<>]=?)?(.*)$/.exec(want)!
	const parts = versionParts(m[2]!)
	const have = versionParts(version)
	if (!parts.length) return true
	if (!have.length) return false
	const head = have.slice(0, parts.length)
	let d = 0
	for (let i = 0; i < parts.length && !d; i++) d = (head[i] ?? 0) - parts[i]!
	switch (m[1]) {
	case '<': return d < 0
	case '<=': return d <= 0
	case '>': return d > 0
	case '>=': return d >= 0
	default: return d === 0
	}
}

const haystacks = new WeakMap<Machine, string>()
function haystack(m: Machine): string {
	let h = haystacks.get(m)
	if (h === undefined) {
		h = [m.name, m.fqdn, m.hostname, ...m.addresses, ...m.tags, m.user, m.os].join('\n').toLowerCase()
		haystacks.set(m, h)
	}
	return h
}

// A whole value matches only itself; one that is not known yet is being typed, so its beginning matches.
function wholeOrBegin(known: string[], typed: string): (value: string) => boolean {
	const whole = known.some(v => v.toLowerCase() === typed)
	return value => whole ? value.toLowerCase() === typed : value.toLowerCase().startsWith(typed)
}

function stateTest(state: string, now: number): (m: Machine) => boolean {
	switch (state) {
	case 'online': return m => m.online
	case 'offline': return m => !m.online
	case 'pending': return isPending
	case 'expired': return m => isExpired(m, now)
	case 'expiring': return m => attention(m, now).some(a => a.kind === 'expiring')
	case 'ephemeral': return m => m.ephemeral
	case 'routes': return m => attention(m, now).some(a => a.kind === 'routes')
	case 'attention': return m => attention(m, now).length > 0
	default: return () => true
	}
}

function test(t: Term, words: Vocabulary, now: number): (m: Machine) => boolean {
	switch (t.key) {
	case 'tag': {
		const want = t.value.startsWith('tag:') ? t.value : `tag:${t.value}`
		const match = wholeOrBegin(words.tags, want)
		return m => m.tags.some(match)
	}
	case 'os': {
		const match = wholeOrBegin(words.os, t.value)
		return m => match(m.os)
	}
	case 'user': {
		const match = wholeOrBegin(words.users, t.value)
		return m => match(m.user)
	}
	case 'is': return stateTest(t.value, now)
	case 'version': return m => versionMatches(m.version, t.value)
	default: return m => haystack(m).includes(t.value)
	}
}

// From a line to a test of machines.
export function matcher(line: string, words: Vocabulary, now: number): (m: Machine) => boolean {
	const tests = parse(line).map(t => {
		const positive = test(t, words, now)
		return t.negated ? (m: Machine) => !positive(m) : positive
	})
	return m => tests.every(ok => ok(m))
}

export interface Suggestion {
	line: string // the whole line when it is taken
	label: string
}

// Ways to end the last word of the line.
export function suggest(line: string, words: Vocabulary, limit = 8): Suggestion[] {
	const m = /^(.*?)(-?)([^\s"]*)$/s.exec(line)
	if (!m) return []
	const [, before, minus, word] = m as unknown as [string, string, string, string]
	const lower = word.toLowerCase()
	const colon = lower.indexOf(':')
	let all: string[]
	if (colon < 0) {
		if (!lower) return []
		all = [...keys.map(k => `${k}:`), ...words.tags]
	} else {
		const values: Record<string, string[]> = {
			tag: words.tags.map(t => t.slice(4)), os: words.os, user: words.users.map(quote), is: [...states],
		}
		const key = lower.slice(0, colon)
		all = (values[key] ?? []).map(v => `${key}:${v}`)
	}
	return all.filter(s => s.toLowerCase().startsWith(lower) && s.toLowerCase() !== lower).slice(0, limit)
		.map(s => ({ line: before + minus + s + (s.endsWith(':') ? '' : ' '), label: minus + s }))
}
