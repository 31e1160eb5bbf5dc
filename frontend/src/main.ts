import "@fontsource-variable/inter/opsz.css";
import "@fontsource-variable/jetbrains-mono";
import "./lib/styles/tokens.css";
import "./lib/styles/base.css";
import "./lib/styles/controls.css";
import "./lib/styles/panes.css";
import { mount } from "svelte";
import App from "./App.svelte";
import { presence } from "./lib/state/presence.svelte";
import { data } from "./lib/state/data.svelte";
import { me } from "./lib/state/me.svelte";
import { view } from "./lib/state/view.svelte";

view.start();
me.start();
data.start();
presence.start();
mount(App, { target: document.getElementById("app") as HTMLElement });
