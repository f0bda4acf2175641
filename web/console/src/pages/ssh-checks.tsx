// SSH logins that wait for approval: the strip above the machines. Approving lets one connection go on at once, so
// both answers are one click; what is decided about stands in the row.
import { useState } from 'preact/hooks'
import { messageOf } from '../api'
import { duration, plural } from '../lib/format'
import { sshSource, type SSHCheck } from '../lib/model'
import { problem, toast } from '../notices'
import { decideSSH, sshChecks, sshCount, whyNot } from '../state'
import { Banner, Shape, Time } from '../ui/basics'
import { useWaiting } from './logins'

const FEW = 4 // until more are asked for

export const useSSHChecks = (isInHand: () => boolean) => useWaiting(sshChecks, isInHand)

function Row({ c, why }: { c: SSHCheck; why: string }) {
	const [working, setWorking] = useState(false)
	const over = c.deletedBy !== undefined
	const what = `${sshSource(c)} at ${c.destination} as ${c.localUser}`
	const decide = async (action: 'approve' | 'reject') => {
		setWorking(true)
		try {
			await decideSSH(c.id, action)
			toast(`${c.source} ${action === 'approve' ? 'gets in' : 'does not get in'} at ${c.destination}.`)
		} catch (e) {
			problem(messageOf(e))
			setWorking(false)
		}
	}
	return (
		<li class={over ? 'ask gone' : 'ask'} data-id={c.id}>
			<div class="ask-who">
				<b class="name">{sshSource(c)}</b>
				<span class="second muted"><Time at={c.created} never="" /></span>
			</div>
			<div class="ask-where">
				<span>at <b>{c.destination}</b> as <code>{c.localUser}</code></span>
				<span class="second muted">{c.period ? `counts for ${duration(c.period * 1000)}` : 'for one connection'}</span>
			</div>
			<div class="ask-tags" />
			<div class="ask-actions">
				{over ? <span class="muted">{c.deletedBy || 'Decided or over'}</span> : (
					<>
						<button type="button" class="button" disabled={!!why || working} aria-describedby={why ? 'ssh-asks-why' : undefined} onClick={() => void decide('reject')}>
							Reject<span class="sr"> {what}</span>
						</button>
						<button type="button" class="button primary" disabled={!!why || working} aria-describedby={why ? 'ssh-asks-why' : undefined} onClick={() => void decide('approve')}>
							Approve<span class="sr"> {what}</span>
						</button>
					</>
				)}
			</div>
		</li>
	)
}

export function SSHStrip({ shown, strip }: { shown: string[]; strip: { current: HTMLElement | null } }) {
	const [all, setAll] = useState(false)
	const why = whyNot('change')
	if (sshChecks.error.value) {
		return (
			<Banner tone="bad" alert action={<button type="button" class="button" onClick={() => sshChecks.refetch()}>Try again</button>}>
				Could not load the SSH logins that wait. {sshChecks.error.value}
			</Banner>
		)
	}
	sshChecks.version.value
	if (!shown.length) return null
	const n = sshCount.value
	return (
		<section class="asks" ref={strip} aria-labelledby="ssh-asks">
			<h2 id="ssh-asks"><Shape name="triangle" /> {n ? plural(n, 'SSH login waits', 'SSH logins wait') : 'No SSH login waits'} for approval</h2>
			<p class="help">Approve only what you know of.</p>
			{why && <p class="why" id="ssh-asks-why">{why} to decide.</p>}
			<ul role="list">
				{(all ? shown : shown.slice(0, FEW)).map(id => {
					const c = sshChecks.data.find(id)
					return c && <Row key={id} c={c} why={why} />
				})}
			</ul>
			{!all && shown.length > FEW && <button type="button" class="link" onClick={() => setAll(true)}>Show all {shown.length}</button>}
		</section>
	)
}
