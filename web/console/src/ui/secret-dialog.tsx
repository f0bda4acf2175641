// A dialog around a key that is shown once: it closes when the key is saved, or somebody insists.
import type { ComponentChildren } from 'preact'
import { useLayoutEffect, useRef, useState } from 'preact/hooks'
import { Banner } from './basics'
import { Dialog } from './dialog'

export function SecretDialog({ title, onClose, children }: { title: string; onClose: () => void; children: ComponentChildren }) {
	const [saved, setSaved] = useState(false)
	const [asks, setAsks] = useState(false)
	const heading = useRef<HTMLHeadingElement>(null)
	useLayoutEffect(() => heading.current?.focus(), [])
	const done = () => { if (saved) onClose(); else setAsks(true) }
	return (
		<Dialog title={title} onClose={done} wide headingRef={heading}>
			{children}
			{asks && !saved && <Banner tone="warn" alert>Have you saved the key? Nobody can show it again.</Banner>}
			<div class="dialog-actions">
				<label class="check">
					<input type="checkbox" checked={saved} onChange={e => setSaved(e.currentTarget.checked)} /><span>I have saved the key</span>
				</label>
				<span class="spring" />
				{asks && !saved && <button type="button" class="button" onClick={onClose}>Close without saving</button>}
				<button type="button" class="button primary" onClick={done}>Done</button>
			</div>
		</Dialog>
	)
}
