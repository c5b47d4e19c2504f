/** What Stryker loads: the test runner, and the rule about texts of errors. */

import { declareClassPlugin, declareFactoryPlugin, PluginKind } from '@stryker-mutator/api/plugin'
import { MessageRule } from './messageRule'
import { createRunner } from './runner'

export const strykerPlugins = [
  declareFactoryPlugin(PluginKind.TestRunner, 'kmem', createRunner),
  declareClassPlugin(PluginKind.Ignore, 'messages', MessageRule),
]

/** The options of the runner, so that Stryker knows them. */
export const strykerValidationSchema = { properties: { kmem: { type: 'object' } } }
