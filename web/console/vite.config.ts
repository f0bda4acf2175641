import { readFileSync } from 'node:fs'
import { defineConfig, type Plugin } from 'vite'

const shipped = ['preact', '@preact/signals', '@preact/signals-core']

// The theme is set before anything is drawn: a classic script of its own, in front of all others.
function themeScript(): Plugin {
	const file = new URL('src/theme.js', import.meta.url)
	return {
		name: 'theme-script',
		apply: 'build',
		buildStart() {
			this.emitFile({ type: 'asset', name: 'theme.js', source: readFileSync(file, 'utf8') })
		},
		transformIndexHtml: {
			order: 'post',
			handler(html, { bundle }) {
				const built = Object.keys(bundle ?? {}).find(name => /theme-[^/]*\.js$/.test(name))
				return html.replace('/src/theme.js', built ? `/${built}` : '/src/theme.js')
			},
		},
	}
}

// licenses.txt: the notices of what is shipped.
function licenses(): Plugin {
	return {
		name: 'licenses',
		generateBundle() {
			const text = shipped.map(name => {
				const dir = new URL(`node_modules/${name}/`, import.meta.url)
				const { version } = JSON.parse(readFileSync(new URL('package.json', dir), 'utf8'))
				return `${name} ${version}\n\n${readFileSync(new URL('LICENSE', dir), 'utf8').trim()}\n`
			}).join(`\n${'-'.repeat(78)}\n\n`)
			this.emitFile({ type: 'asset', fileName: 'licenses.txt', source: text })
		},
	}
}

export default defineConfig({
	plugins: [themeScript(), licenses()],
	// The strict Content-Security-Policy allows no data: and no inline text.
	build: {
		target: 'es2022',
		cssTarget: ['chrome123', 'firefox120', 'safari17.5'],
		assetsInlineLimit: 0,
		modulePreload: { polyfill: false },
		reportCompressedSize: false,
	},
})
