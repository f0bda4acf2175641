// The lines that join a machine. Pure.

export const tailscaleLine = (server: string, key: string) =>
	`tailscale up --login-server=${server} --authkey=${key}`

// K3s cuts its option at , and =: keys are made of [A-Za-z0-9_-] only. The nodes keep their own DNS.
export const k3sLine = (server: string, key: string) =>
	`k3s server --vpn-auth="name=tailscale,joinKey=${key},controlServerURL=${server},extraArgs=--accept-dns=false"`

export const dockerLine = (server: string, key: string) =>
	`docker run -d --name tailscale -e TS_AUTHKEY=${key} -e TS_EXTRA_ARGS=--login-server=${server} tailscale/tailscale`

const tagShape = /^tag:[a-z][a-z0-9-]*$/i
// "k3s" -> "tag:k3s"
export function normalTag(text: string): string {
	const t = text.trim()
	return t === '' || t.startsWith('tag:') ? t : `tag:${t}`
}
export const tagComplaint = (tag: string) =>
	tagShape.test(tag) ? '' : `"${tag}" is no tag. A tag begins with a letter and has letters, digits and hyphens.`

const label = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/
export function nameComplaint(name: string): string {
	if (!name) return 'Type a name.'
	if (name.length > 63) return `The name has ${name.length} characters, at most 63 are possible.`
	return label.test(name) ? '' : 'A name has the letters a to z, digits and hyphens, and begins and ends with a letter or digit.'
}
