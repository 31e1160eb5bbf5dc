import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";

const api = process.env.MICROTOME_API ?? "http://127.0.0.1:8000";

export default defineConfig({
  plugins: [svelte()],
  resolve: { alias: { "~": new URL("./src", import.meta.url).pathname } },
  server: { proxy: { "/api": { target: api, changeOrigin: true, headers: { origin: api } } } },
  build: {
    outDir: "../backend/microtome/api/static",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0, // the CSP allows no data: fonts or scripts
    chunkSizeWarningLimit: 700,
  },
  test: { include: ["tests/**/*.test.ts"], environment: "node" },
});
