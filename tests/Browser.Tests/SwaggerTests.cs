using System.Text.Json;

namespace InferenceServer.Browser.Tests;

/// <summary>Swagger UI as a person uses it.</summary>
public sealed class SwaggerTests(ChromiumBrowser chromium) : IClassFixture<ChromiumBrowser>
{
    [Fact]
    public async Task Every_operation_succeeds_when_its_example_is_executed()
    {
        var complaints = new List<string>();
        var page = await chromium.OpenAsync(complaints);
        await page.GotoAsync(chromium.Address + "/swagger");
        await page.Locator(".opblock").First.WaitForAsync();
        Assert.Empty(complaints);

        using var document = JsonDocument.Parse(await chromium.Client.GetStringAsync("/swagger/v1/swagger.json", TestContext.Current.CancellationToken));
        var expected = document.RootElement.GetProperty("paths").EnumerateObject().Sum(p => p.Value.EnumerateObject().Count(o => o.Name is "get" or "post" or "put" or "delete"));
        var blocks = page.Locator(".opblock");
        var count = await blocks.CountAsync();
        Assert.Equal(expected, count);
        Assert.True(count >= 8);

        var wrong = new List<string>();
        for (var i = 0; i < count; i++)
        {
            var block = blocks.Nth(i);
            var name = (await block.Locator(".opblock-summary-method").InnerTextAsync()) + " " + (await block.Locator(".opblock-summary-path").GetAttributeAsync("data-path"));
            await block.Locator(".opblock-summary-control").ClickAsync();
            await block.Locator(".try-out__btn").ClickAsync();
            await block.Locator("button.execute").ClickAsync();
            var status = block.Locator(".live-responses-table .response-col_status").Last;
            await status.WaitForAsync();
            var text = await status.InnerTextAsync();
            if (!text.TrimStart().StartsWith('2'))
            {
                wrong.Add($"{name}: {text} {await block.Locator(".live-responses-table").InnerTextAsync()}");
            }

            await block.Locator(".opblock-summary-control").ClickAsync();
        }

        Assert.True(wrong.Count == 0, string.Join('\n', wrong));
        await page.CloseAsync();
    }
}
