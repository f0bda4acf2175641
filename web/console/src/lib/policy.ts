// What the server says of its policy, when something is amiss with it or it waits for confirmation. Pure.
import { time } from './merge'

export interface Version {
	version: number // 0: none
	author: string
	made: number | null
	comment: string
}

export interface PolicyNotice {
	inForce: Version
	problem: string // '': none; may have several lines
	broken: Version | null // the stored version that is not understood; null: it is the file
	file: string // the policy is read from it; '': it is not
	confirmBy: number | null // it is taken back then
	before: number | null // what comes back: a version, 0 for no policy; null: not known
}

// Of the status, which every page asks for.
export interface PolicyStatus {
	version: number
	confirmBy: string | null
	problem: string | null
}

export const isAmiss = (p: PolicyStatus | undefined) => !!p && (p.problem !== null || p.confirmBy !== null)

type Json = Record<string, unknown>
const text = (v: unknown) => (typeof v === 'string' ? v : '')
const number = (v: unknown) => (typeof v === 'number' ? v : 0)
const versionOf = (j: Json): Version => ({ version: number(j.version), author: text(j.author), made: time(j.made), comment: text(j.comment) })

// The newest version before this one that was to stay.
function before(inForce: number, newestFirst: Json[]): number | null {
	const found = newestFirst.find(v => number(v.version) < inForce && time(v.confirmBy) === null)
	if (found) return number(found.version)
	return newestFirst.some(v => number(v.version) === 1) ? 0 : null
}

// Of GET /policy and the list of versions, newest first.
export function noticeOf(j: Json, newestFirst: Json[]): PolicyNotice {
	const inForce = versionOf(j)
	const file = text(j.file)
	const problem = text(j.problem)
	const newest = newestFirst[0] && versionOf(newestFirst[0])
	const isFile = file !== '' && problem.startsWith(file.slice(0, 200))
	return {
		inForce, problem, file, confirmBy: time(j.confirmBy), before: before(inForce.version, newestFirst),
		broken: problem && !isFile && newest && newest.version > inForce.version ? newest : null,
	}
}

// What stays, or what nobody can do.
export const consequence = (p: PolicyNotice) =>
	p.inForce.version ? `Version ${p.inForce.version} stays in force.`
		: p.broken ? 'No stored version is understood: nobody reaches anybody until one is set.' : 'No policy is in force: everybody reaches everybody.'

export interface Step {
	command: string
	means: string
}

// What an administrator types on the server to mend it.
export function steps(p: PolicyNotice): Step[] {
	const file = /^[\w./-]+$/.test(p.file) ? p.file : `'${p.file.replaceAll("'", "'\\''")}'`
	if (p.file) {
		return [
			{ command: `fairlead policy check ${file}`, means: 'says what is wrong; the file is read again within two seconds of each change.' },
			{ command: 'fairlead policy get', means: 'prints what is in force.' },
		]
	}
	if (!p.broken) return [{ command: 'fairlead policy get', means: 'prints what is in force.' }]
	const show = { command: `fairlead policy get --version ${p.broken.version}`, means: 'prints what is not understood.' }
	if (!p.inForce.version) return [show, { command: 'fairlead policy set FILE', means: 'puts another one in force.' }]
	return [
		show,
		{ command: 'fairlead policy edit', means: `opens version ${p.inForce.version}; what you save replaces both.` },
		{ command: `fairlead policy rollback ${p.inForce.version}`, means: `keeps version ${p.inForce.version} for good.` },
	]
}

export const versionName = (n: number) => (n ? `version ${n}` : 'no policy')
// "Version 2 comes back", where no policy was, "everybody reaches everybody again".
export const comesBack = (n: number | null) =>
	n === null ? 'the one before comes back' : n ? `version ${n} comes back` : 'the time without a policy comes back: everybody reaches everybody'
