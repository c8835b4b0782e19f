@echo off
rem Reports the facts about this PC that risk rules ask for, as one line of JSON.
rem The answer holds no time and no counter: a changed answer starts a renewal.
set firewall=true
netsh advfirewall show allprofiles state | findstr /r /c:"State .*OFF" >nul && set firewall=false
set domain=false
if not "%USERDNSDOMAIN%"=="" set domain=true
set version=
for /f "tokens=2 delims=[]" %%v in ('ver') do for /f "tokens=2" %%n in ("%%v") do set version=%%n
echo {"firewallEnabled":%firewall%,"domainJoined":%domain%,"osVersion":"%version%"}
