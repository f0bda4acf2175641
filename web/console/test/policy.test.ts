import { expect, test } from 'vitest'
import { sentence } from '../src/lib/audit'
import { comesBack, consequence, isAmiss, noticeOf, steps } from '../src/lib/policy'

const AT = '2026-11-23T12:00:00Z'
const version = (n: number, confirmBy: string | null = null) => ({ version: n, author: `a${n}`, comment: '', made: AT, confirmBy, bytes: 9 })
const inForce = (more: object) => ({ version: 1, author: 'ann', comment: '', made: AT, confirmBy: null, newestVersion: 1, file: '', problem: null, text: '{}', ...more })

test('the status says whether anything is to be told', () => {
	expect(isAmiss(undefined)).toBe(false)
	expect(isAmiss({ version: 3, confirmBy: null, problem: null })).toBe(false)
	expect(isAmiss({ version: 3, confirmBy: AT, problem: null })).toBe(true)
	expect(isAmiss({ version: 3, confirmBy: null, problem: 'line 1' })).toBe(true)
})

test('a stored version that is not understood: which, by whom, since when, how to mend it', () => {
	const p = noticeOf(inForce({ problem: 'line 1, column 2: what', newestVersion: 2 }), [version(2), version(1)])
	expect(p.broken).toEqual({ version: 2, author: 'a2', made: Date.parse(AT), comment: '' })
	expect(consequence(p)).toBe('Version 1 stays in force.')
	expect(steps(p).map(s => s.command)).toEqual(['fairlead policy get --version 2', 'fairlead policy edit', 'fairlead policy rollback 1'])
})

test('no version is understood', () => {
	const p = noticeOf(inForce({ version: 0, problem: 'line 1', newestVersion: 2 }), [version(2), version(1)])
	expect(consequence(p)).toMatch(/nobody reaches anybody/)
	expect(steps(p).map(s => s.command)).toEqual(['fairlead policy get --version 2', 'fairlead policy set FILE'])
})

test('a file that cannot be used', () => {
	const p = noticeOf(inForce({ problem: '/etc/fairlead/policy.hujson: line 3', file: '/etc/fairlead/policy.hujson' }), [version(1)])
	expect(p.broken).toBe(null)
	expect(consequence(p)).toBe('Version 1 stays in force.')
	expect(steps(p)[0]!.command).toBe('fairlead policy check /etc/fairlead/policy.hujson')
	expect(steps({ ...p, file: "/etc/a b/it's" })[0]!.command).toBe("fairlead policy check '/etc/a b/it'\\''s'")
	expect(consequence({ ...p, inForce: { ...p.inForce, version: 0 } })).toMatch(/everybody reaches everybody/)
	// Both: the stored version is not to blame for what is said of the file.
	expect(noticeOf(inForce({ problem: '/p: line 3', file: '/p', newestVersion: 2 }), [version(2), version(1)]).broken).toBe(null)
})

test('what comes back unless it is confirmed', () => {
	const waits = (n: number, list: object[]) => noticeOf(inForce({ version: n, confirmBy: AT }), list as Record<string, unknown>[])
	expect(waits(3, [version(3, AT), version(2, AT), version(1)])).toMatchObject({ before: 1, confirmBy: Date.parse(AT), problem: '' })
	expect(waits(1, [version(1, AT)]).before).toBe(0)
	expect(waits(150, [version(150, AT), version(149, AT)]).before).toBe(null)	// further down the list
	expect([1, 0, null].map(comesBack)).toEqual(['version 1 comes back', expect.stringMatching(/everybody reaches everybody/), 'the one before comes back'])
})

test('the audit record reads like a sentence', () => {
	const say = (what: string, before: object | null, after: object | null, actor = 'ann') => {
		const s = sentence({ what: `policy.${what}`, object: 'policy', before, after } as Parameters<typeof sentence>[0], actor, false)
		return `${s.who} ${s.text}`
	}
	expect(say('set', null, { version: 1 })).toBe('ann set version 1 of the policy')
	expect(say('confirm', { version: 1 }, { version: 1 })).toBe('ann confirmed version 1 of the policy')
	expect(say('rollback', { version: 2 }, { version: 3 })).toBe('ann went back to an older policy, as version 3')
	expect(say('revert', { version: 2 }, { version: 3 }, 'confirmation')).toBe('The server took back version 2 of the policy, which nobody confirmed: now version 3')
	expect(say('new', null, { version: 4 })).toBe('ann policy.new (version 4)')
})
