// Requests to the server, and errors that a person can read.

export const API = '/api/fairlead/v1'
export const API_V2 = '/api/v2'

export class ApiError extends Error {
	constructor(message: string, readonly status: number) {
		super(message)
	}
}

// Called on every 401 of a page that was signed in.
export const onSignedOut: { call: () => void } = { call: () => {} }

function sentence(status: number, message: unknown): string {
	if (typeof message === 'string' && message) return message[0]!.toUpperCase() + message.slice(1) + (/[.?!]$/.test(message) ? '' : '.')
	if (status === 0) return 'The server cannot be reached. Check the connection; nothing was changed.'
	if (status === 503) return 'The server is busy and changed nothing. Try again in a moment.'
	return `The server answered with status ${status} and no explanation.`
}

export async function request<T>(method: string, path: string, body?: unknown, options: RequestInit = {}): Promise<T> {
	const headers: Record<string, string> = { Accept: 'application/json' }
	if (method !== 'GET') headers['X-Fairlead-CSRF'] = '1'
	if (body !== undefined) headers['Content-Type'] = 'application/json'
	let response: Response
	try {
		response = await fetch(path, {
			method, headers, body: body === undefined ? undefined : JSON.stringify(body), credentials: 'same-origin',
			cache: 'no-store', ...options,
		})
	} catch (e) {
		if (e instanceof DOMException && e.name === 'AbortError') throw e
		throw new ApiError(sentence(0, ''), 0)
	}
	let answer: unknown
	try {
		answer = await response.json()
	} catch {
		if (response.ok) throw new ApiError('The answer of the server was cut off. Try again.', 0)
	}
	if (response.ok) return answer as T
	if (response.status === 401) onSignedOut.call()
	throw new ApiError(sentence(response.status, (answer as { message?: unknown } | undefined)?.message), response.status)
}

export const get = <T>(path: string) => request<T>('GET', path)
export const messageOf = (e: unknown) => (e instanceof Error ? e.message : String(e))
