// The policy, where it needs somebody: a stored one or a file that cannot be used, and one that waits for confirmation.
import { signal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import type { ComponentChildren } from 'preact'
import { messageOf } from '../api'
import { clock } from '../lib/format'
import { comesBack, consequence, steps, type PolicyNotice } from '../lib/policy'
import { path } from '../router'
import { problem, toast } from '../notices'
import { confirmPolicy, policy, rollbackPolicy, watchStatus } from '../state'
import { Act, Banner, Copy, Time } from '../ui/basics'
import { Confirm } from '../ui/dialog'

const working = signal(false)
const takingBack = signal<PolicyNotice | null>(null)

async function confirm(p: PolicyNotice) {
	working.value = true
	try {
		await confirmPolicy(p.inForce.version)
		toast(`Version ${p.inForce.version} of the policy stays.`)
	} catch (e) {
		problem(`Could not confirm version ${p.inForce.version} of the policy. ${messageOf(e)}`)
	}
	working.value = false
}

const By = ({ author, made }: { author: string; made: number | null }) => (
	<>{author && <> by <b>{author}</b></>}{made !== null && <> (<Time at={made} />)</>}</>
)

export function Unusable({ p }: { p: PolicyNotice }) {
	return (
		<div class="unusable">
			<p>
				{p.broken ? <>Version {p.broken.version} of the policy, saved<By {...p.broken} />, cannot be used.</> : 'The policy of the file cannot be used.'}
				{' '}{consequence(p)}
			</p>
			<pre class="block" tabIndex={0} role="group" aria-label="What is wrong with the policy">{p.problem}</pre>
			<p>On the server:</p>
			<ul role="list">
				{steps(p).map(s => (
					<li key={s.command}><span class="with-copy"><code>{s.command}</code><Copy text={s.command} label={`Copy ${s.command}`} /></span> <span>{s.means}</span></li>
				))}
			</ul>
		</div>
	)
}

export const Waits = ({ p }: { p: PolicyNotice }) => (
	<>
		Version {p.inForce.version} of the policy, set<By {...p.inForce} />{p.inForce.comment && <>, "{p.inForce.comment}"</>}, waits for confirmation:
		unless it is confirmed by <b>{clock(p.confirmBy ?? 0)}</b>, {comesBack(p.before)}.
	</>
)

export const WaitsActions = ({ p }: { p: PolicyNotice }) => (
	<>
		{p.before !== null && <Act right="policy" onClick={() => { takingBack.value = p }}>Take back…</Act>}
		<Act right="policy" class="button primary" disabled={working.value} onClick={() => void confirm(p)}>Confirm policy</Act>
	</>
)

// Where it decides what people see and do; Overview has it among what needs attention.
const concerned = (page: string) => /^\/(machines|clusters)(\/|$)/.test(page)

export function PolicyBanners(): ComponentChildren {
	useEffect(watchStatus, [])
	const p = policy.value
	if (!p || path.value === '/') return null
	return (
		<>
			{p.problem && concerned(path.value) && <Banner tone="bad"><Unusable p={p} /></Banner>}
			{p.confirmBy !== null && <Banner tone="warn" action={<WaitsActions p={p} />}><Waits p={p} /></Banner>}
		</>
	)
}

export function PolicyDialog() {
	const p = takingBack.value
	if (!p) return null
	const { before } = p
	return (
		<Confirm
			title={`Take version ${p.inForce.version} of the policy back?`} button={`Take back version ${p.inForce.version}`} onClose={() => { takingBack.value = null }}
			sentences={[
				`At once, ${comesBack(before)}.`,
				`Version ${p.inForce.version} stays in the history.`,
			]}
			onConfirm={async () => {
				await rollbackPolicy(before ?? 0, p.inForce.version)
				toast(`Version ${p.inForce.version} of the policy is taken back.`)
			}}
		/>
	)
}
