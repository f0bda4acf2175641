// Addresses of the page: path and query as signals; links are followed without loading anything.
import { computed, signal } from '@preact/signals'

const here = signal(location.pathname + location.search)
const url = computed(() => new URL(here.value, location.origin))
export const path = computed(() => url.value.pathname)
export const query = computed(() => url.value.searchParams)
// Counts navigations, so that the page can move focus to its heading.
export const visits = signal(0)

let late: ReturnType<typeof setTimeout> | undefined

function flush() {
	clearTimeout(late)
	late = undefined
	if (location.pathname + location.search !== here.value) history.replaceState(history.state, '', here.value)
}

export function navigate(to: string, { replace = false } = {}) {
	if (late !== undefined) flush()
	if (replace) history.replaceState(null, '', to)
	else history.pushState(null, '', to)
	here.value = location.pathname + location.search
	visits.value++
	window.scrollTo(0, 0)
}

// Changes parts of the query in place. The address bar follows a little later: browsers limit its changes.
export function setQuery(change: Record<string, string>) {
	const next = new URLSearchParams(query.value)
	for (const [name, value] of Object.entries(change)) {
		if (value) next.set(name, value)
		else next.delete(name)
	}
	const text = next.toString()
	here.value = path.value + (text ? `?${text}` : '')
	clearTimeout(late)
	late = setTimeout(flush, 250)
}

export function startRouter() {
	window.addEventListener('popstate', () => {
		clearTimeout(late)
		late = undefined
		here.value = location.pathname + location.search
		visits.value++
	})
	window.addEventListener('pagehide', flush)
	document.addEventListener('click', e => {
		if (e.defaultPrevented || e.button !== 0 || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey) return
		const link = (e.target as Element).closest('a')
		if (!link || link.target || link.hasAttribute('download') || link.origin !== location.origin) return
		if (link.hash || /\.\w+$/.test(link.pathname)) return
		e.preventDefault()
		navigate(link.pathname + link.search)
	})
}
