// Changes from the audit record.
import { useEffect, useState } from 'preact/hooks'
import { messageOf } from '../api'
import { differences, sentence } from '../lib/audit'
import { time } from '../lib/merge'
import { fetchAudit, type AuditRecord } from '../questions'
import { machines } from '../state'
import { Time } from '../ui/basics'

const nameNow = (object: string) => (object.startsWith('node ') ? machines.data.find(object.slice(5))?.name : undefined)

// of: whose changes ('' for all); trigger: anything that changes when there may be new ones.
export function Changes({ of, limit, trigger }: { of: string; limit: number; trigger: unknown }) {
	const [records, setRecords] = useState<AuditRecord[] | null>(null)
	const [error, setError] = useState('')
	useEffect(() => {
		let current = true
		fetchAudit(limit, of).then(
			list => { if (current) { setRecords(list); setError('') } },
			e => { if (current) setError(messageOf(e)) },
		)
		return () => { current = false }
	}, [of, limit, trigger])
	if (error) return <p class="error">Could not load the changes. {error}</p>
	if (!records) return <p class="muted">Loading changes…</p>
	if (!records.length) return <p class="muted">No change is on record.</p>
	return (
		<ul class="changes" role="list">
			{records.map(r => {
				const { who, text } = sentence(r, r.actor, of !== '', nameNow)
				return (
					<li key={r.id}>
						<span class="when"><Time at={time(r.at)} /></span>
						<span>
							<b>{who}</b> {text}
							{differences(r).map(d => <span key={d} class="muted difference">{d}</span>)}
						</span>
					</li>
				)
			})}
		</ul>
	)
}
