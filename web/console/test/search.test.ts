import { describe, expect, test } from 'vitest'
import { complaint, matcher, parse, suggest, termValue, vocabulary, without, withTerm } from '../src/lib/search'
import { machine, NOW } from './machine'

const DAY = 86_400_000
const all = [
	machine({ id: '1', name: 'edge-ber-1', tags: ['tag:k3s', 'tag:edge'], addresses: ['100.64.0.1', 'fd7a:115c:a1e0::1'] }),
	machine({ id: '2', name: 'edge-ham-2', tags: ['tag:k3s'], online: false, version: '1.90.0', hostname: 'ham', fqdn: 'edge-ham-2.x', addresses: ['100.64.0.20'] }),
	machine({ id: '3', name: 'cam-3', tags: ['tag:cam'], version: '1.9.1', authorized: false, hostname: 'c', fqdn: 'c', addresses: ['100.64.1.3'] }),
	machine({ id: '4', name: 'laptop', user: 'ben@example.org', os: 'macOS', version: '', expired: true, keyExpires: NOW - DAY, hostname: 'l', fqdn: 'l', addresses: [] }),
	machine({ id: '5', name: 'camera-5', tags: ['tag:camera'], ephemeral: true, keyExpires: NOW + 3 * DAY, hostname: 'c', fqdn: 'c', addresses: ['100.64.1.5'] }),
]
const words = vocabulary(all)
const found = (line: string) => all.filter(matcher(line, words, NOW)).map(m => m.id).join('')

describe('matching', () => {
	test.each([
		['', '12345'], ['   ', '12345'], ['edge', '12'], ['EDGE ber', '1'], ['-edge', '345'], ['100.64.0.2', '2'], ['fd7a:115c', '1'], ['laptop', '4'],
		['tag:k3s', '12'], ['tag:K3S', '12'], ['tag:tag:k3s', '12'], ['-tag:k3s', '345'], ['tag:cam', '3'], ['tag:came', '5'], ['tag:ca', '35'], ['tag:none', ''],
		['tag:', '12345'], ['os:macos', '4'], ['os:l', '1235'], ['-os:linux', '4'], ['user:ben', '4'], ['user:"ben@example.org"', '4'],
		['is:online', '1345'], ['is:offline', '2'], ['-is:online', '2'], ['is:pending', '3'], ['is:expired', '4'], ['is:expiring', '5'], ['is:ephemeral', '5'],
		['is:attention', '345'], ['version:1.9', '3'], ['version:1.90', '2'], ['version:<1.90', '3'], ['version:<=1.90', '23'], ['version:>1.90', '15'],
		['version:>=1.90.0', '125'], ['-version:<1.90', '1245'], ['tag:k3s -is:online', '2'], ['"edge ber"', ''], ['-', '12345'], ['version:<', '12345'],
	])('%s finds %s', (line, ids) => expect(found(line)).toBe(ids))
})

test('lines are taken apart', () => {
	expect(parse('a "b c" -tag:x user:"d e" os: fd7a::1')).toEqual([
		{ text: 'a', negated: false, key: '', value: 'a' },
		{ text: '"b c"', negated: false, key: '', value: 'b c' },
		{ text: '-tag:x', negated: true, key: 'tag', value: 'x' },
		{ text: 'user:"d e"', negated: false, key: 'user', value: 'd e' },
		{ text: 'fd7a::1', negated: false, key: '', value: 'fd7a::1' },
	])
})

test('a filter is set, replaced and removed without touching the rest', () => {
	expect(withTerm('edge', 'is', 'online')).toBe('edge is:online')
	expect(withTerm('is:offline edge -is:pending', 'is', 'online')).toBe('edge -is:pending is:online')
	expect(withTerm('is:offline edge', 'is', '')).toBe('edge')
	expect(withTerm('', 'user', 'ann smith')).toBe('user:"ann smith"')
	expect(termValue('-is:online is:offline', 'is')).toBe('offline')
	expect(termValue('edge', 'is')).toBe('')
	expect(without('a tag:x b', parse('tag:x')[0]!)).toBe('a b')
})

test('what cannot be meant is said', () => {
	expect(complaint('is:onlin')).toContain('is:onlin is not known')
	expect(complaint('version:<new')).toContain('not a version')
	expect(complaint('tag:x is:online version:<=1.9')).toBe('')
})

test('suggestions end the last word', () => {
	expect(suggest('t', words).map(s => s.label)).toEqual(['tag:', 'tag:cam', 'tag:camera', 'tag:edge', 'tag:k3s'])
	expect(suggest('edge tag:c', words)).toEqual([{ line: 'edge tag:cam ', label: 'tag:cam' }, { line: 'edge tag:camera ', label: 'tag:camera' }])
	expect(suggest('-is:o', words).map(s => s.line)).toEqual(['-is:online ', '-is:offline '])
	expect(suggest('edge ', words)).toEqual([])
	expect(suggest('tag:k3s', words)).toEqual([])
})
