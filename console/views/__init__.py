"""The console's pages, one module each; ``console.admin`` gives them their addresses."""
