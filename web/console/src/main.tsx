import { render } from 'preact'
import { App } from './app'
import { startRouter } from './router'
import './app.css'

startRouter()
render(<App />, document.getElementById('app')!)
