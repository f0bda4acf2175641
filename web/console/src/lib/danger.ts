// What an irreversible change breaks, and what has to be typed before it. Pure.
import { plural } from './format'
import type { Machine } from './model'
import { usedRoutes } from './routes'

export const TYPE_ABOVE = 5
const FEW = 4 // routes that are named

const serves = (m: Machine) => m.tags.length > 0 || usedRoutes(m).length > 0

// The text to type before these machines are deleted, or null.
export function mustType(machines: Machine[]): string | null {
	if (machines.length === 1) return serves(machines[0]!) ? machines[0]!.name : null
	return machines.length > TYPE_ABOVE || machines.some(serves) ? String(machines.length) : null
}

// What deleting them means, as sentences.
export function deletion(machines: Machine[]): string[] {
	const online = machines.filter(m => m.online).length
	const out: string[] = []
	if (machines.length === 1) {
		const m = machines[0]!
		out.push(m.online
			? 'It is online: every connection to and from it ends at once.'
			: 'It is offline and will not be able to connect again.')
		out.push(`Other machines no longer find it as ${m.name}${m.addresses[0] ? ` or ${m.addresses[0]}` : ''}.`)
	} else {
		if (online) out.push(`${plural(online, 'of them is', 'of them are')} online: their connections end at once.`)
		out.push('Other machines no longer find them by name or address.')
	}
	const tags = [...new Set(machines.flatMap(m => m.tags))].sort()
	if (tags.length) out.push(`${machines.length === 1 ? 'It serves' : 'Some serve'} as ${tags.join(', ')}.`)
	const routes = [...new Set(machines.flatMap(usedRoutes))]
	if (routes.length) out.push(`${machines.length === 1 ? 'It routes' : 'They route'} ${routes.slice(0, FEW).join(', ')}${routes.length > FEW ? ` and ${routes.length - FEW} more` : ''}: what no other machine routes is cut off.`)
	out.push(`To come back, ${machines.length === 1 ? 'it has' : 'they have'} to join again.`)
	return out
}
