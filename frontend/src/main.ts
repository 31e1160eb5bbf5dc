import "@fontsource-variable/inter/opsz.css";
import "@fontsource-variable/jetbrains-mono";
import "./lib/styles/tokens.css";
import "./lib/styles/base.css";
import "./lib/styles/controls.css";
import { mount } from "svelte";
import App from "./App.svelte";
import { data } from "./lib/state/data.svelte";
import { live } from "./lib/state/live.svelte";
import { view } from "./lib/state/view.svelte";

view.start();
data.start();
live.start();
mount(App, { target: document.getElementById("app") as HTMLElement });
