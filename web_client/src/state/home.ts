// The home page: one button, then the link it made.

import { type Signal, signal } from '@preact/signals'
import type { Api } from '../signal/api'
import { type ErrorCode, errorCodeOf } from './errors'

export type HomeState =
  | { readonly kind: 'ready' }
  | { readonly kind: 'creating' }
  | { readonly kind: 'created'; readonly conference: string }
  | { readonly kind: 'failed'; readonly error: ErrorCode }

export class HomeModel {
  readonly state: Signal<HomeState> = signal({ kind: 'ready' })
  /** What the conference is about, as typed; may stay empty. */
  readonly title = signal('')
  readonly #api: Api

  constructor(api: Api) {
    this.#api = api
  }

  async create(): Promise<void> {
    if (this.state.value.kind === 'creating') return
    this.state.value = { kind: 'creating' }
    try {
      const { name } = await this.#api.createConference(this.title.value.trim())
      this.state.value = { kind: 'created', conference: name }
    } catch (thrown) {
      this.state.value = { kind: 'failed', error: errorCodeOf(thrown) }
    }
  }
}
