// Heading of a page: takes the focus on navigation and names the window.
import type { ComponentChildren } from 'preact'
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks'
import { visits } from '../router'

export function PageHead({ title, documentTitle, actions, children, before }: {
	title: ComponentChildren
	documentTitle?: string
	actions?: ComponentChildren
	children?: ComponentChildren
	before?: ComponentChildren
}) {
	const heading = useRef<HTMLHeadingElement>(null)
	const name = documentTitle ?? String(title)
	useEffect(() => { document.title = `${name} · Fairlead` }, [name])
	// Not on the first visit: there the reader begins at the top, with the link that skips the navigation.
	useLayoutEffect(() => { if (visits.value > 0) heading.current?.focus({ preventScroll: true }) }, [visits.value])
	return (
		<div class="page-head">
			<div class="page-title">
				{before}
				<h1 ref={heading} tabIndex={-1}>{title}</h1>
			</div>
			{children}
			{actions && <div class="page-actions">{actions}</div>}
		</div>
	)
}
